//! Serial lines: which there are, and opening one.

use std::time::Duration;

use anyhow::{Context, Result, bail};
use serialport::{SerialPort, SerialPortType};

/// How long a read waits; keys are looked at in between.
const PATIENCE: Duration = Duration::from_millis(10);

/// The USB serial cables of this machine: device and what it says it is.
pub(crate) fn usb() -> Result<Vec<(String, String)>> {
    let ports =
        serialport::available_ports().context("the system does not list its serial lines")?;
    let cables = ports.into_iter().filter_map(|port| match port.port_type {
        SerialPortType::UsbPort(usb) => {
            let words = [usb.manufacturer, usb.product, usb.serial_number];
            Some((
                port.port_name,
                words.into_iter().flatten().collect::<Vec<_>>().join(" "),
            ))
        }
        _ => None,
    });
    Ok(cables.collect())
}

/// The only cable. Error: there is none, or a choice.
pub(crate) fn only(cables: &[(String, String)]) -> Result<String> {
    match cables {
        [(name, _)] => Ok(name.clone()),
        [] => bail!("no USB serial cable is plugged in; another serial line is named with --port"),
        several => {
            let lines = several
                .iter()
                .map(|(name, what)| format!("\n  --port {name}   {what}"));
            bail!(
                "there are {} USB serial cables; say which:{}",
                several.len(),
                lines.collect::<String>()
            )
        }
    }
}

/// Opens a line, for this program alone.
pub(crate) fn open(name: &str, baud: u32) -> serialport::Result<Box<dyn SerialPort>> {
    serialport::new(name, baud).timeout(PATIENCE).open()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn cable_is_taken_only_where_there_is_no_choice() {
        let cable = |name: &str| (name.to_owned(), format!("FTDI {name}"));
        assert!(only(&[]).expect_err("none").to_string().contains("--port"));
        assert_eq!(only(&[cable("a")]).expect("one"), "a");
        let why = only(&[cable("a"), cable("b")])
            .expect_err("two")
            .to_string();
        assert!(why.contains("--port b   FTDI b"), "{why}");
    }
}
