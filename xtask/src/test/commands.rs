//! Commands that must run as they would at the prompt, each in a machine of its own.

use std::time::Duration;

use halyard_hil::qemu::Options;
use halyard_hil::verdict::Verdict;

use super::session::{Failure, Session};
use super::target::Bench;

/// A command, and what it must show.
pub(crate) struct Command {
    /// The test's name.
    pub(crate) name: &'static str,
    /// What the shell is told to run.
    line: &'static str,
    /// Texts that must come, in this order.
    shows: &'static [&'static str],
    /// Its exit code.
    code: i32,
    /// Seconds it may stay silent.
    patience: u64,
    /// On a machine with so many CPUs; none: on the usual one.
    cpus: Option<u32>,
    /// On a machine with so much memory, as QEMU's -m has it; none: as much as usual.
    memory: Option<&'static str>,
    /// The C program it takes, if it takes one: without a compiler for it, it is skipped.
    program: Option<&'static str>,
}

/// One that is there always, is quick and succeeds.
const ORDINARY: Command = Command {
    name: "",
    line: "",
    shows: &[],
    code: 0,
    patience: 30,
    cpus: None,
    memory: None,
    program: None,
};

/// Every command.
pub(crate) const ALL: &[Command] = &[
    Command {
        name: "shell_pipeline_of_three_answers",
        line: "ls / | grep bin | wc -l",
        shows: &["1"],
        ..ORDINARY
    },
    Command {
        name: "shell_unknown_command_exits_with_127",
        line: "no-such-command",
        code: 127,
        ..ORDINARY
    },
    Command {
        name: "handbook_pipe_echo_says_hello",
        line: "pipe_echo",
        shows: &["hello"],
        ..ORDINARY
    },
    Command {
        name: "handbook_shm_counter_counts_to_20000",
        line: "shm_counter; shm_counter",
        shows: &["20000", "20000"],
        ..ORDINARY
    },
    Command {
        name: "c_program_runs_unmodified",
        line: "hello a b",
        shows: &["hello from C, process ", " a b"],
        program: Some("hello"),
        ..ORDINARY
    },
    Command {
        name: "c_ipcbench_comes_to_its_end",
        line: "ipcbench scale=1",
        shows: &["DONE", " fail=0"],
        program: Some("ipcbench"),
        patience: 120,
        ..ORDINARY
    },
    Command {
        name: "chat_of_three_passes",
        line: "chat test",
        shows: &["* bob enters", "eve: anybody here?", "chat: passed"],
        ..ORDINARY
    },
    // A fixed seed, so that a failure is the same for everybody; `fuzz` by hand takes one from the clock.
    Command {
        name: "kernel_survives_a_million_random_calls",
        line: "fuzz 1000000 1",
        patience: 300,
        ..ORDINARY
    },
    Command {
        name: "machine_lives_on_when_its_memory_is_taken",
        line: "famine",
        shows: &["famine: everybody lives"],
        memory: Some("64M"),
        patience: 60,
        ..ORDINARY
    },
    Command {
        name: "file_that_fills_the_memory_can_be_removed",
        line: "yes > /tmp/fill; ls /tmp; rm /tmp/fill; pipe_echo",
        shows: &["ENOSPC", "fill", "hello"],
        memory: Some("64M"),
        ..ORDINARY
    },
    Command {
        name: "kernel_is_clean_after_a_storm",
        line: "storm 300 1",
        shows: &["everything is where it was"],
        patience: 300,
        ..ORDINARY
    },
    Command {
        name: "kernel_is_clean_after_a_storm_on_one_cpu",
        line: "storm 2000 2",
        shows: &["everything is where it was"],
        patience: 300,
        cpus: Some(1),
        ..ORDINARY
    },
];

impl Command {
    /// Boots and runs it; gives the last thing it showed.
    pub(crate) fn check(&self, bench: &Bench<'_>) -> Result<String, Failure> {
        if let Some(program) = self.program
            && !bench.products.programs.iter().any(|name| name == program)
        {
            let why = format!("the C program {program} was left out of the build");
            return Err(Failure {
                verdict: Verdict::Skip(why),
                console: Vec::new(),
            });
        }
        let boot = bench.boot(&["quiet"], &["-c", self.line]);
        let options = Options {
            cpus: self.cpus.or(bench.options.cpus),
            memory: self
                .memory
                .map_or(bench.options.memory.clone(), |memory| Some(memory.into())),
            ..bench.options.clone()
        };
        let mut session = Session::start(bench, options, &boot)?;
        session.set_patience(Duration::from_secs(self.patience));
        for text in self.shows {
            session.expect(text)?;
        }
        session.leave(self.code)?;
        Ok(format!("`{}`, exit code {}", self.line, self.code))
    }
}
