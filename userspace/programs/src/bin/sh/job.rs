//! Jobs: the process groups that the shell started, and who has the terminal.

use halyard_rt::process::{Pid, Status};
use halyard_rt::raw::general::{WCONTINUED, WNOHANG, WUNTRACED};
use halyard_rt::{prelude::*, signal, tty};

use crate::shell::Shell;

/// A pipeline that runs or is stopped.
pub(crate) struct Job {
    pub(crate) number: usize,
    /// The group, which is its first process; 0 without job control.
    pub(crate) group: Pid,
    /// Its processes, and how each ended.
    processes: Vec<(Pid, Option<Status>)>,
    stopped: bool,
    pub(crate) text: String,
}

impl Job {
    fn finished(&self) -> bool {
        self.processes.iter().all(|(_, status)| status.is_some())
    }

    /// The exit code of its last process.
    fn code(&self) -> i32 {
        let last = self.processes.last().and_then(|(_, status)| *status);
        last.map_or(0, Status::code)
    }

    /// The process whose status is the job's.
    pub(crate) fn last_process(&self) -> Pid {
        self.processes.last().map_or(0, |(pid, _)| *pid)
    }

    fn state(&self) -> &'static str {
        match (self.finished(), self.stopped) {
            (true, _) => "done",
            (false, true) => "stopped",
            (false, false) => "running",
        }
    }

    pub(crate) fn line(&self) -> String {
        format!("[{}] {:8} {}", self.number, self.state(), self.text)
    }
}

impl Shell {
    /// Puts this shell in the foreground of its terminal and lets it survive the keys that end jobs.
    pub(crate) fn take_terminal(&mut self) {
        self.interactive = true;
        for number in JOB_SIGNALS {
            let _ = signal::set(number, signal::Action::Ignore, 0, signal::SignalSet::EMPTY);
        }
        // A session leader is a group leader already: that failure means nothing.
        let _ = process::set_group(0, 0);
        let _ = tty::set_foreground(STDIN, process::id());
    }

    /// In a child: what the keys do is usual again, and the child is in its job's group.
    pub(crate) fn enter_job(&mut self, group: Pid, foreground: bool) {
        if self.interactive {
            let _ = process::set_group(0, group);
            if foreground {
                let _ = tty::set_foreground(STDIN, process::group(0).unwrap_or(0));
            }
            for number in JOB_SIGNALS.into_iter().chain([signal::SIGINT]) {
                let _ = signal::set(number, signal::Action::Default, 0, signal::SignalSet::EMPTY);
            }
        }
        self.interactive = false;
        self.jobs.clear();
    }

    /// Takes charge of processes just started.
    pub(crate) fn add_job(&mut self, group: Pid, processes: &[Pid], text: String) -> usize {
        let number = self.jobs.iter().map(|job| job.number).max().unwrap_or(0) + 1;
        self.jobs.push(Job {
            number,
            group,
            processes: processes.iter().map(|&pid| (pid, None)).collect(),
            stopped: false,
            text,
        });
        number
    }

    fn job(&self, number: usize) -> Option<&Job> {
        self.jobs.iter().find(|job| job.number == number)
    }

    /// Notes what became of a child.
    fn note(&mut self, pid: Pid, status: Status) {
        for job in &mut self.jobs {
            for (process, ended) in &mut job.processes {
                if *process == pid {
                    match status {
                        Status::Stopped(_) => job.stopped = true,
                        Status::Continued => job.stopped = false,
                        _ => *ended = Some(status),
                    }
                }
            }
        }
    }

    /// Waits until the job has ended or is stopped, takes the terminal back, and gives its code.
    pub(crate) fn wait_foreground(&mut self, number: usize) -> i32 {
        while self
            .job(number)
            .is_some_and(|job| !job.finished() && !job.stopped)
        {
            match process::wait_for(-1, WUNTRACED) {
                Ok(Some((pid, status))) => self.note(pid, status),
                Ok(None) | Err(Errno::EINTR) => {}
                Err(_) => break,
            }
        }
        if self.interactive {
            let _ = tty::set_foreground(STDIN, process::id());
        }
        let Some(index) = self.jobs.iter().position(|job| job.number == number) else {
            return 0;
        };
        if self.jobs[index].stopped && !self.jobs[index].finished() {
            eprintln!("\n{}", self.jobs[index].line());
            return 128 + signal::SIGTSTP;
        }
        let job = self.jobs.remove(index);
        self.say_signal(&job);
        job.code()
    }

    /// Says what ended a job, if a person should know.
    fn say_signal(&self, job: &Job) {
        let Some((_, Some(Status::Signaled(number)))) = job.processes.last() else {
            return;
        };
        match *number {
            signal::SIGINT => {
                if self.interactive {
                    eprintln!();
                }
            }
            signal::SIGPIPE => {}
            number => {
                eprintln!(
                    "sh: {}: ended by {}",
                    job.text,
                    signal::name(number).unwrap_or("signal")
                );
            }
        }
    }

    /// Looks, without waiting, what became of the jobs in the background.
    pub(crate) fn poll_jobs(&mut self) {
        while let Ok(Some((pid, status))) = process::wait_for(-1, WNOHANG | WUNTRACED | WCONTINUED)
        {
            self.note(pid, status);
        }
    }

    /// Before a prompt: says which jobs have ended, and forgets them.
    pub(crate) fn report_jobs(&mut self) {
        self.poll_jobs();
        self.jobs.retain(|job| {
            if job.finished() {
                eprintln!("{}", job.line());
            }
            !job.finished()
        });
    }

    /// Waits for a process of ours, or all of them, and forgets the jobs that have ended.
    pub(crate) fn wait_background(&mut self, pid: Option<Pid>) -> i32 {
        loop {
            let ended = |job: &&Job| {
                let mut processes = job.processes.iter();
                pid.is_some_and(|pid| {
                    processes.any(|(own, status)| *own == pid && status.is_some())
                })
            };
            if let Some(job) = self.jobs.iter().find(ended) {
                let processes = job.processes.iter();
                let status = processes
                    .filter(|(own, _)| Some(*own) == pid)
                    .find_map(|(_, s)| *s);
                self.jobs.retain(|job| !job.finished());
                return status.map_or(0, Status::code);
            }
            match process::wait_for(-1, 0) {
                Ok(Some((child, status))) => self.note(child, status),
                Ok(None) => {}
                Err(Errno::EINTR) => return 128 + signal::SIGINT,
                Err(_) => {
                    self.jobs.clear();
                    return if pid.is_some() { 127 } else { 0 };
                }
            }
        }
    }

    /// The job that `%N`, `N`, or nothing (the last one) means.
    pub(crate) fn find_job(&self, name: Option<&str>) -> Option<usize> {
        match name {
            None => self.jobs.last().map(|job| job.number),
            Some(name) => {
                let number = name.strip_prefix('%').unwrap_or(name).parse().ok()?;
                self.job(number).map(|job| job.number)
            }
        }
    }

    /// Lets a job run on, with the terminal or without.
    pub(crate) fn resume(&mut self, number: usize, foreground: bool) -> i32 {
        let Some(job) = self.jobs.iter_mut().find(|job| job.number == number) else {
            return 1;
        };
        job.stopped = false;
        let group = job.group;
        eprintln!("{}", job.text);
        if foreground {
            let _ = tty::set_foreground(STDIN, group);
        }
        let _ = process::kill(-group, signal::SIGCONT);
        match foreground {
            true => self.wait_foreground(number),
            false => 0,
        }
    }
}

/// What an interactive shell ignores and its jobs must not.
const JOB_SIGNALS: [i32; 4] = [
    signal::SIGQUIT,
    signal::SIGTSTP,
    signal::SIGTTIN,
    signal::SIGTTOU,
];
