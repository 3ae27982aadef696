//! QEMU's ear: orders to a machine that runs (QMP, QEMU QMP Reference).

use std::io::{BufRead, BufReader, Error, ErrorKind, Result};
use std::os::unix::net::UnixStream;
use std::path::Path;
use std::thread;
use std::time::{Duration, Instant};

use qapi::{Any, Command, Qmp, Stream, qmp};

/// Between two looks for whoever listens.
const LOOK: Duration = Duration::from_millis(20);

/// A connection that orders go over.
pub struct Orders(Qmp<Stream<BufReader<UnixStream>, UnixStream>>);

impl Orders {
    /// Has QEMU listen to what comes over `stream`, and takes `within` for the longest that it needs to obey.
    ///
    /// # Errors
    /// It gave up, or does not speak QMP.
    pub fn over(stream: UnixStream, within: Duration) -> Result<Self> {
        stream.set_read_timeout(Some(within))?;
        let mut reader = BufReader::new(stream.try_clone()?);
        if reader.fill_buf()?.is_empty() {
            let why = "QEMU gave up before its first word";
            return Err(Error::new(ErrorKind::UnexpectedEof, why));
        }
        let mut orders = Qmp::new(Stream::new(reader, stream));
        orders.handshake()?;
        Ok(Self(orders))
    }

    /// Waits up to `within` for a QEMU that listens at `socket`.
    ///
    /// # Errors
    /// None does.
    pub fn connect(socket: &Path, within: Duration) -> Result<Self> {
        let deadline = Instant::now() + within;
        loop {
            match UnixStream::connect(socket) {
                Ok(stream) => return Self::over(stream, within),
                Err(error) if Instant::now() > deadline => return Err(error),
                Err(_) => thread::sleep(LOOK),
            }
        }
    }

    /// Gives an order.
    ///
    /// # Errors
    /// QEMU's, in its words, with the order's name.
    pub fn give<C: Command>(&mut self, command: &C) -> Result<C::Ok> {
        self.0
            .execute(command)
            .map_err(|error| Error::other(format!("{} was not obeyed: {error}", C::NAME)))
    }

    /// Sets a property of a device of the machine, by its path in QEMU's object model (`/machine/peripheral/ID`).
    ///
    /// # Errors
    /// There is no such device or property, or it does not take the value.
    pub fn set(&mut self, path: &str, property: &str, value: i64) -> Result<()> {
        let order = qmp::qom_set {
            path: path.into(),
            property: property.into(),
            value: Any::from(value),
        };
        self.give(&order).map(drop)
    }

    /// Reads the word at a physical address of the machine, which may be a device's register.
    ///
    /// # Errors
    /// There is nothing.
    pub fn word(&mut self, address: u64) -> Result<u32> {
        let order = qmp::human_monitor_command {
            command_line: format!("xp /1wx {address:#x}"),
            cpu_index: None,
        };
        let said = self.give(&order)?;
        let word = said.rsplit("0x").next().map(str::trim);
        let word = word.and_then(|word| u32::from_str_radix(word, 16).ok());
        word.ok_or_else(|| Error::other(format!("{address:#x} is not read: {}", said.trim())))
    }
}
