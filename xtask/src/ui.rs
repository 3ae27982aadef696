//! What a person sees: steps with a spinner on a terminal and as plain lines elsewhere, notes, errors.
//!
//! Everything here goes to standard error. Colour follows the terminal and `NO_COLOR`, as the console crate reads them.

use std::cell::Cell;
use std::env;
use std::time::{Duration, Instant};

use console::{Term, style};
use indicatif::{ProgressBar, ProgressStyle};

/// A step shorter than this leaves no line behind.
const WORTH_A_LINE: Duration = Duration::from_millis(1500);

/// The one who is looking.
pub(crate) struct Ui {
    verbose: bool,
    terminal: bool,
    ci: bool,
}

impl Ui {
    /// Looks at where standard error goes.
    pub(crate) fn new(verbose: bool) -> Self {
        let ci = env::var_os("CI").is_some();
        Self {
            verbose,
            terminal: Term::stderr().features().is_attended() && !ci,
            ci,
        }
    }

    /// Whether a person can be asked.
    pub(crate) fn can_ask(&self) -> bool {
        self.terminal && Term::stdout().features().is_attended()
    }

    /// Whether standard error takes colour.
    pub(crate) fn colour(&self) -> bool {
        self.terminal && console::colors_enabled_stderr()
    }

    /// Begins a piece of work that may take a while.
    pub(crate) fn step(&self, label: impl Into<String>) -> Step {
        let label = label.into();
        let bar = if self.terminal && !self.verbose {
            ProgressBar::new_spinner()
        } else {
            ProgressBar::hidden()
        };
        let template =
            ProgressStyle::with_template("{spinner:.cyan} {prefix} {elapsed:.dim} {wide_msg:.dim}");
        bar.set_style(template.unwrap_or_else(|_| ProgressStyle::default_spinner()));
        bar.set_prefix(label.clone());
        bar.enable_steady_tick(Duration::from_millis(100));
        if self.ci {
            eprintln!("      {label} ...");
        }
        Step {
            bar,
            label,
            started: Instant::now(),
        }
    }

    /// Begins to move so many bytes.
    pub(crate) fn bar(&self, label: &'static str, total: u64) -> Bar {
        let bar = if self.terminal {
            ProgressBar::new(total)
        } else {
            ProgressBar::hidden()
        };
        let template = "{prefix} [{wide_bar:.cyan}] {bytes}/{total_bytes} {bytes_per_sec} {eta}";
        bar.set_style(
            ProgressStyle::with_template(template).unwrap_or_else(|_| ProgressStyle::default_bar()),
        );
        bar.set_prefix(label);
        if !self.terminal {
            eprintln!("      {label} {total} bytes ...");
        }
        Bar {
            bar,
            label,
            total,
            tenths: Cell::new((!self.terminal).then_some(0)),
        }
    }

    /// Something good to know.
    pub(crate) fn note(&self, text: &str) {
        eprintln!("{} {text}", style("note:").for_stderr().cyan().bold());
    }

    /// Something that will matter.
    pub(crate) fn warn(&self, text: &str) {
        eprintln!("{} {text}", style("warning:").for_stderr().yellow().bold());
    }

    /// Why xtask gives up: what happened first, then what led to it.
    pub(crate) fn error(&self, error: &anyhow::Error) {
        eprintln!("{} {error}", style("error:").for_stderr().red().bold());
        for cause in error.chain().skip(1) {
            eprintln!("  {cause}");
        }
    }

    /// A command about to be run, for those who asked to see them.
    pub(crate) fn command(&self, command: &std::process::Command) {
        if self.verbose {
            eprintln!(
                "{} {}",
                style("+").for_stderr().dim(),
                crate::process::words(command).join(" ")
            );
        }
    }
}

/// A piece of work under way. Dropping it without [`Step::done`] leaves no line.
pub(crate) struct Step {
    bar: ProgressBar,
    label: String,
    started: Instant,
}

impl Step {
    /// What it is doing just now.
    pub(crate) fn progress(&self, text: &str) {
        self.bar
            .set_message(console::strip_ansi_codes(text).into_owned());
    }

    /// A line that stays, above the spinner.
    pub(crate) fn print(&self, line: &str) {
        self.bar.suspend(|| eprintln!("{line}"));
    }

    /// Prints with the spinner out of the way.
    pub(crate) fn suspend(&self, print: impl FnOnce()) {
        self.bar.suspend(print);
    }

    /// It is finished; says so if it took long enough for anyone to wonder.
    pub(crate) fn done(self) {
        self.bar.finish_and_clear();
        let taken = self.started.elapsed();
        if taken > WORTH_A_LINE {
            let mark = style("done").for_stderr().green();
            eprintln!(" {mark} {} in {:.1} s", self.label, taken.as_secs_f32());
        }
    }
}

impl Drop for Step {
    fn drop(&mut self) {
        self.bar.finish_and_clear();
    }
}

/// Bytes being moved: a bar on a terminal, and a line every tenth elsewhere.
pub(crate) struct Bar {
    bar: ProgressBar,
    label: &'static str,
    total: u64,
    tenths: Cell<Option<u64>>,
}

impl Bar {
    /// So many are done.
    pub(crate) fn set(&self, done: u64) {
        self.bar.set_position(done);
        let now = done * 10 / self.total.max(1);
        if self.tenths.get().is_some_and(|before| now > before) {
            self.tenths.set(Some(now));
            eprintln!("      {} {} %", self.label, now * 10);
        }
    }

    /// All are.
    pub(crate) fn done(self) {
        self.bar.finish_and_clear();
    }
}
