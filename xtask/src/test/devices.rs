//! The board's devices as programs reach them, with a hand on the machine from the outside.

use std::path::PathBuf;
use std::time::Duration;

use halyard_hil::board::QemuBoard;
use halyard_hil::orders::Orders;
use halyard_hil::qemu::Options;
use halyard_hil::verdict::Verdict;

use super::checks::PROMPT;
use super::session::{Failure, Session};
use super::target::Bench;

/// How long QEMU may take to listen and to obey.
const PATIENCE: Duration = Duration::from_secs(10);

/// The longest that a watchdog which nobody set waits, and a boot after it.
const WATCHDOG_PATIENCE: Duration = Duration::from_secs(60);

/// What the sensor is set to, in thousandths of a degree, and what a program reads: it tells half degrees.
const TEMPERATURES: [(i64, &str); 4] = [
    (25_000, "25.0"),
    (-10_500, "-10.5"),
    (99_500, "99.5"),
    (0, "0.0"),
];

fn skip(why: &str) -> Failure {
    Failure {
        verdict: Verdict::Skip(why.into()),
        console: Vec::new(),
    }
}

/// A machine that takes orders while it runs.
struct Ordered {
    board: QemuBoard,
    socket: PathBuf,
}

impl Ordered {
    fn new(board: &QemuBoard, what: &str) -> Self {
        let name = format!("halyard-{}-{what}.qmp", std::process::id());
        let socket = std::env::temp_dir().join(name);
        let mut board = board.clone();
        let orders = format!("unix:{},server=on,wait=off", socket.display());
        board.args.extend(["-qmp".into(), orders]);
        Self { board, socket }
    }

    /// Boots it to the shell.
    fn start(&self, bench: &Bench<'_>) -> Result<(Session, Orders), Failure> {
        let bench = Bench {
            board: &self.board,
            name: bench.name,
            kernel: bench.kernel,
            products: bench.products,
            options: bench.options.clone(),
        };
        let boot = bench.ordinary_boot(&["quiet"], &[]);
        let session = Session::start(&bench, bench.options.clone(), &boot)?;
        let orders = Orders::connect(&self.socket, PATIENCE).map_err(infra)?;
        Ok((session, orders))
    }
}

impl Drop for Ordered {
    fn drop(&mut self) {
        // Gone already, if QEMU had time for it.
        let _ = std::fs::remove_file(&self.socket);
    }
}

/// A driver crate that knows nothing of Halyard reads, over its I2C, what the sensor is set to meanwhile; an address where nothing is
/// answers nothing.
pub(crate) fn sensor(bench: &Bench<'_>) -> Result<String, Failure> {
    let Some(bus) = &bench.board.i2c else {
        return Err(skip("QEMU's machine has no I2C"));
    };
    let mut machine = Ordered::new(bench.board, "i2c");
    let sensor = format!("tmp105,id=sensor,address=0x48,bus={bus}");
    machine.board.args.extend(["-device".into(), sensor]);
    let (mut session, mut orders) = machine.start(bench)?;
    for (thousandths, read) in TEMPERATURES {
        session.expect(PROMPT)?;
        orders
            .set("/machine/peripheral/sensor", "temperature", thousandths)
            .map_err(infra)?;
        session.send("thermometer\n")?;
        session.expect(&format!("\n{read}"))?;
    }
    session.expect(PROMPT)?;
    session.send("thermometer 1 0x20\n")?;
    session.expect("EREMOTEIO")?;
    session.expect(PROMPT)?;
    session.send("exit\n")?;
    session.leave(0)?;
    Ok(format!(
        "{} temperatures, set from outside",
        TEMPERATURES.len()
    ))
}

/// How often a line is made high and low.
const BLINKS: u32 = 2;

/// A line that a program drives as an output of embedded-hal is seen from outside to go high and low.
pub(crate) fn blink(bench: &Bench<'_>) -> Result<String, Failure> {
    let Some(gpio) = bench.board.gpio else {
        return Err(skip("no line that a test may drive is known"));
    };
    let machine = Ordered::new(bench.board, "gpio");
    let (mut session, mut orders) = machine.start(bench)?;
    session.expect(PROMPT)?;
    session.send(&format!("blink 0 {} {BLINKS}\n", gpio.line))?;
    for (said, level) in [("\nhigh", 1), ("\nlow", 0)].repeat(BLINKS as usize) {
        session.expect(said)?;
        let levels = orders.word(gpio.levels).map_err(infra)?;
        if levels >> (gpio.line % 32) & 1 != level {
            let why = format!("the levels are {levels:#x} after '{}'", said.trim());
            return Err(session.fail(&why));
        }
    }
    session.expect(PROMPT)?;
    session.send("exit\n")?;
    session.leave(0)?;
    Ok(format!("line {} went high {BLINKS} times", gpio.line))
}

fn infra(error: std::io::Error) -> Failure {
    Failure {
        verdict: Verdict::Infra(error.to_string()),
        console: Vec::new(),
    }
}

/// A watchdog that a program has started and nobody tells that all is well resets the board: the shell prompts a second time.
pub(crate) fn watchdog(bench: &Bench<'_>) -> Result<String, Failure> {
    let options = Options {
        resets: true,
        ..bench.options.clone()
    };
    let mut session = Session::start(bench, options, &bench.boards_own_boot())?;
    session.expect(PROMPT)?;
    session.send("ls /dev | grep -c watchdog\n")?;
    session.line()?;
    if session.line()? == "0" {
        return Err(skip("the board has no watchdog"));
    }
    session.expect(PROMPT)?;
    session.set_patience(WATCHDOG_PATIENCE);
    session.send("echo well > /dev/watchdog\n")?;
    session.expect("Halyard ")?;
    session.expect(PROMPT)?;
    Ok("prompted twice".into())
}
