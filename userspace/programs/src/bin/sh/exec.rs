//! Does what a script says.

use halyard_rt::process::{Fork, Pid};
use halyard_rt::{fd, open, prelude::*, tty};

use crate::shell::{Jump, Shell};
use crate::syntax::{Direction, Node, Redirection, Word};
use crate::{builtin, parser};

/// Where the shell keeps its own descriptors while a command of its own has others.
const SAVED: usize = 100;

impl Shell {
    /// Runs commands; the outcome is in `status`.
    pub(crate) fn run(&mut self, node: &Node) {
        if self.leave_with.is_some() || self.jump.is_some() {
            return;
        }
        match node {
            Node::Simple {
                assignments,
                words,
                redirections,
            } => self.status = self.run_simple(assignments, words, redirections),
            Node::Pipeline(nodes, text) => self.status = self.run_pipeline(nodes, text),
            Node::Not(inner) => {
                self.run(inner);
                self.status = i32::from(self.status == 0);
            }
            Node::And(left, right) => {
                self.run(left);
                if self.status == 0 {
                    self.run(right);
                }
            }
            Node::Or(left, right) => {
                self.run(left);
                if self.status != 0 {
                    self.run(right);
                }
            }
            Node::Sequence(nodes) => nodes.iter().for_each(|node| self.run(node)),
            Node::Background(inner, text) => self.status = self.run_background(inner, text),
            Node::If(condition, body, otherwise) => self.run_if(condition, body, otherwise),
            Node::While {
                condition,
                body,
                until,
            } => self.run_while(condition, body, *until),
            Node::For { name, words, body } => self.run_for(name, words, body),
            Node::Subshell(inner) => {
                let started = self.start(0, true, None, |shell| shell.run_child(inner));
                self.status = self.finish_foreground(started, "( ... )".to_owned());
            }
            Node::Redirected(inner, redirections) => {
                match self.redirect(redirections) {
                    Ok(saved) => {
                        self.run(inner);
                        restore(saved);
                    }
                    Err(what) => self.fail(&what),
                };
            }
        }
    }

    fn fail(&mut self, what: &str) {
        eprintln!("sh: {what}");
        self.status = 1;
    }

    fn run_if(&mut self, condition: &Node, body: &Node, otherwise: &Option<Box<Node>>) {
        self.run(condition);
        if self.status == 0 {
            self.run(body);
        } else {
            self.status = 0;
            if let Some(otherwise) = otherwise {
                self.run(otherwise);
            }
        }
    }

    fn run_while(&mut self, condition: &Node, body: &Node, until: bool) {
        let mut last = 0;
        self.loops += 1;
        loop {
            self.run(condition);
            if (self.status == 0) == until || self.leave_with.is_some() {
                break;
            }
            self.run(body);
            last = self.status;
            if self.loop_ends() {
                break;
            }
        }
        self.loops -= 1;
        self.status = last;
    }

    fn run_for(&mut self, name: &str, words: &[Word], body: &Node) {
        let values = self.expand_all(words);
        self.status = 0;
        self.loops += 1;
        for value in values {
            self.set(name, value);
            self.run(body);
            if self.loop_ends() {
                break;
            }
        }
        self.loops -= 1;
    }

    /// After a loop's body: whether `break`, `exit` or ^C ends the loop.
    fn loop_ends(&mut self) -> bool {
        let interrupted = self.interactive && self.status == 128 + halyard_rt::signal::SIGINT;
        self.jump.take() == Some(Jump::Break) || self.leave_with.is_some() || interrupted
    }

    fn run_simple(
        &mut self,
        assignments: &[(String, Word)],
        words: &[Word],
        redirections: &[Redirection],
    ) -> i32 {
        let args = self.expand_all(words);
        let own = args.first().is_none_or(|name| builtin::exists(name));
        if !own {
            let text = args.join(" ");
            let started = self.start(0, true, None, |shell| {
                shell.become_program(assignments, redirections, &args)
            });
            return self.finish_foreground(started, text);
        }
        let saved = match self.redirect(redirections) {
            Ok(saved) => saved,
            Err(what) => {
                self.fail(&what);
                return 1;
            }
        };
        // `$(...)` in an assignment gives the status of the whole.
        self.status = 0;
        for (name, word) in assignments {
            let value = self.expand_one(word);
            self.set(name, value);
        }
        let status = match args.is_empty() {
            true => self.status,
            false => self.run_builtin(&args),
        };
        restore(saved);
        status
    }

    /// In a child: redirects, sets variables, and turns into the program. Comes back only with a failure's status.
    fn become_program(
        &mut self,
        assignments: &[(String, Word)],
        redirections: &[Redirection],
        args: &[String],
    ) -> i32 {
        if let Err(what) = self.redirect(redirections) {
            eprintln!("sh: {what}");
            return 1;
        }
        for (name, word) in assignments {
            let value = self.expand_one(word);
            self.set(name, value);
            self.export(name);
        }
        let name = args.first().map_or("", String::as_str);
        let errno = self.exec_on_path(name, args);
        let (what, code) = match errno {
            Errno::ENOENT if !name.contains('/') => ("no such command".to_owned(), 127),
            Errno::ENOENT => (errno.to_string(), 127),
            _ => (errno.to_string(), 126),
        };
        eprintln!("sh: {name}: {what}");
        code
    }

    fn exec_on_path(&self, name: &str, args: &[String]) -> Errno {
        let environment = self.environment();
        if name.contains('/') || name.is_empty() {
            return exec_file(name, args, &environment);
        }
        let mut errno = Errno::ENOENT;
        for directory in self.get("PATH").unwrap_or("/bin").split(':') {
            let directory = if directory.is_empty() { "." } else { directory };
            match exec_file(&format!("{directory}/{name}"), args, &environment) {
                Errno::ENOENT | Errno::ENOTDIR => {}
                other => errno = other,
            }
        }
        errno
    }

    /// In a child: runs commands to the end and gives the status.
    fn run_child(&mut self, node: &Node) -> i32 {
        // The last program of a child need not be its child.
        if let Node::Simple {
            assignments,
            words,
            redirections,
        } = node
        {
            let args = self.expand_all(words);
            if args.first().is_some_and(|name| !builtin::exists(name)) {
                return self.become_program(assignments, redirections, &args);
            }
        }
        self.run(node);
        self.leave_with.unwrap_or(self.status)
    }

    /// Starts a child in a group (0: one of its own) with what is to be its input and output.
    fn start(
        &mut self,
        group: Pid,
        foreground: bool,
        plumbing: Option<Plumbing<'_>>,
        body: impl FnOnce(&mut Self) -> i32,
    ) -> Result<Pid> {
        match process::fork()? {
            Fork::Parent(pid) => {
                if self.interactive {
                    // Both sides do it, so that it is done whoever runs first.
                    let leader = if group == 0 { pid } else { group };
                    let _ = process::set_group(pid, leader);
                    if foreground {
                        let _ = tty::set_foreground(STDIN, leader);
                    }
                }
                Ok(pid)
            }
            Fork::Child => {
                self.enter_job(group, foreground);
                if let Some(plumbing) = plumbing {
                    plumbing.connect();
                }
                process::exit(body(self))
            }
        }
    }

    /// Waits for a job of one process.
    fn finish_foreground(&mut self, started: Result<Pid>, text: String) -> i32 {
        match started {
            Ok(pid) => {
                let number = self.add_job(pid, &[pid], text);
                self.wait_foreground(number)
            }
            Err(errno) => {
                eprintln!("sh: no new process: {errno}");
                126
            }
        }
    }

    fn run_pipeline(&mut self, nodes: &[Node], text: &str) -> i32 {
        match self.start_pipeline(nodes, true) {
            Ok(processes) => {
                let group = processes.first().copied().unwrap_or(0);
                let number = self.add_job(group, &processes, text.to_owned());
                self.wait_foreground(number)
            }
            Err(errno) => {
                eprintln!("sh: the pipeline cannot start: {errno}");
                126
            }
        }
    }

    /// Starts every command of a pipeline. If one can't be started, the others end by their pipes.
    fn start_pipeline(&mut self, nodes: &[Node], foreground: bool) -> Result<Vec<Pid>> {
        let mut processes = Vec::new();
        let mut input: Option<Fd> = None;
        for (index, node) in nodes.iter().enumerate() {
            let group = processes.first().copied().unwrap_or(0);
            let (reader, writer) = match index + 1 < nodes.len() {
                true => {
                    let (reader, writer) = fd::pipe2(open::O_CLOEXEC)?;
                    (Some(reader), Some(writer))
                }
                false => (None, None),
            };
            let plumbing = Plumbing {
                input: input.as_ref(),
                output: writer.as_ref(),
                unused: reader.as_ref(),
            };
            let pid = self.start(group, foreground, Some(plumbing), |shell| {
                shell.run_child(node)
            })?;
            processes.push(pid);
            input = reader;
        }
        Ok(processes)
    }

    fn run_background(&mut self, node: &Node, text: &str) -> i32 {
        let quiet = !self.interactive;
        let started = match node {
            Node::Pipeline(nodes, _) => self.start_pipeline(nodes, false),
            _ => self
                .start(0, false, None, |shell| {
                    if quiet && let Ok(null) = fs::open("/dev/null") {
                        let _ = fd::dup2(null, STDIN);
                    }
                    shell.run_child(node)
                })
                .map(|pid| vec![pid]),
        };
        match started {
            Ok(processes) => {
                let group = processes.first().copied().unwrap_or(0);
                self.last_background = processes.last().copied();
                let number = self.add_job(group, &processes, text.to_owned());
                if self.interactive {
                    eprintln!("[{number}] {}", self.value("!"));
                }
                0
            }
            Err(errno) => {
                eprintln!("sh: {text}: {errno}");
                126
            }
        }
    }

    /// What a command prints, without the line ends at its end: `$(...)`.
    pub(crate) fn capture(&mut self, text: &str) -> String {
        let script = match parser::parse(text) {
            Ok(script) => script,
            Err(error) => {
                self.fail(&format!("$({text}): {error}"));
                return String::new();
            }
        };
        let mut output = Vec::new();
        let result = fd::pipe2(open::O_CLOEXEC).and_then(|(reader, writer)| {
            let plumbing = Plumbing {
                input: None,
                output: Some(&writer),
                unused: Some(&reader),
            };
            let pid = self.start(0, true, Some(plumbing), |shell| {
                shell.run(&script);
                shell.leave_with.unwrap_or(shell.status)
            })?;
            drop(writer);
            io::read_to_end(reader, &mut output)?;
            Ok(pid)
        });
        self.status = self.finish_foreground(result, text.to_owned());
        let text = String::from_utf8_lossy(&output);
        text.trim_end_matches('\n').to_owned()
    }

    /// Redirects this process, keeping what was there.
    fn redirect(
        &mut self,
        redirections: &[Redirection],
    ) -> core::result::Result<Vec<(i32, Option<Fd>)>, String> {
        let mut saved = Vec::new();
        for redirection in redirections {
            let name = self.expand_one(&redirection.target);
            let kept = fd::fcntl(
                redirection.fd,
                halyard_rt::raw::general::F_DUPFD_CLOEXEC,
                SAVED,
            );
            saved.push((redirection.fd, kept.ok().map(|fd| Fd::from_raw(fd as i32))));
            if let Err(errno) = apply(redirection, &name) {
                restore(saved);
                return Err(format!("{name}: {errno}"));
            }
        }
        Ok(saved)
    }
}

fn apply(redirection: &Redirection, name: &str) -> Result<()> {
    let write = open::O_WRONLY | open::O_CREAT;
    let flags = match redirection.direction {
        Direction::Read => open::O_RDONLY,
        Direction::Write => write | open::O_TRUNC,
        Direction::Append => write | open::O_APPEND,
        Direction::Duplicate if name == "-" => return fd::close(redirection.fd),
        Direction::Duplicate => {
            let from: i32 = name.parse().map_err(|_| Errno::EBADF)?;
            return fd::dup2(from, redirection.fd);
        }
    };
    let file = fs::open_with(name, flags, 0o666)?;
    if file.fd() == redirection.fd {
        // It fell on its place by itself.
        let _ = file.into_raw();
        return Ok(());
    }
    fd::dup2(file, redirection.fd)
}

/// Puts back what [`Shell::redirect`] kept, the last first.
fn restore(saved: Vec<(i32, Option<Fd>)>) {
    for (number, kept) in saved.into_iter().rev() {
        let _ = match kept {
            Some(kept) => fd::dup2(kept, number),
            None => fd::close(number),
        };
    }
}

/// What a command of a pipeline reads and writes.
struct Plumbing<'a> {
    input: Option<&'a Fd>,
    output: Option<&'a Fd>,
    /// The next command's end: as long as this process had it, it would never see that its reader went.
    unused: Option<&'a Fd>,
}

impl Plumbing<'_> {
    /// In the child: onto standard input and output. The pipes' own numbers close on exec.
    fn connect(self) {
        if let Some(unused) = self.unused {
            let _ = fd::close(unused.fd());
        }
        for (end, number) in [(self.input, STDIN), (self.output, STDOUT)] {
            if let Some(end) = end {
                let _ = fd::dup2(end, number);
                if end.fd() != number {
                    let _ = fd::close(end.fd());
                }
            }
        }
    }
}

/// Turns into a program; a text that is none is given to a shell.
fn exec_file(path: &str, args: &[String], environment: &[String]) -> Errno {
    let errno = process::exec(path, args, environment);
    if errno != Errno::ENOEXEC {
        return errno;
    }
    let rest = args.iter().skip(1).map(String::as_str);
    let script = ["sh", path].into_iter().chain(rest);
    process::exec("/bin/sh", script, environment)
}
