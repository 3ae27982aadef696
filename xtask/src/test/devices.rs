//! The board's devices as programs reach them, with a hand on the machine from the outside.

use std::path::Path;
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

/// A driver crate that knows nothing of Halyard reads, over its I2C, what the sensor is set to meanwhile; an address where nothing is
/// answers nothing.
pub(crate) fn sensor(bench: &Bench<'_>) -> Result<String, Failure> {
    let Some(bus) = &bench.board.i2c else {
        return Err(skip("QEMU's machine has no I2C"));
    };
    let socket = std::env::temp_dir().join(format!("halyard-{}-i2c.qmp", std::process::id()));
    let board = with_sensor(bench.board, bus, &socket);
    let bench = Bench {
        board: &board,
        name: bench.name,
        kernel: bench.kernel,
        products: bench.products,
        options: bench.options.clone(),
    };
    let result = temperatures(&bench, &socket);
    // Gone already, if QEMU had time for it.
    let _ = std::fs::remove_file(&socket);
    result
}

/// The machine with a sensor at address 0x48, which takes orders.
fn with_sensor(board: &QemuBoard, bus: &str, socket: &Path) -> QemuBoard {
    let mut board = board.clone();
    board.args.extend([
        "-device".into(),
        format!("tmp105,id=sensor,address=0x48,bus={bus}"),
        "-qmp".into(),
        format!("unix:{},server=on,wait=off", socket.display()),
    ]);
    board
}

fn temperatures(bench: &Bench<'_>, socket: &Path) -> Result<String, Failure> {
    let boot = bench.ordinary_boot(&["quiet"], &[]);
    let mut session = Session::start(bench, bench.options.clone(), &boot)?;
    let mut orders = Orders::connect(socket, PATIENCE).map_err(infra)?;
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
