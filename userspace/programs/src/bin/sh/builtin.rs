//! The commands that the shell must do itself, and `echo`, which scripts use too often to start a program for.

use halyard_rt::prelude::*;

use crate::lexer;
use crate::shell::{Jump, Shell};

/// Whether the shell has a command of that name.
pub(crate) fn exists(name: &str) -> bool {
    const NAMES: [&str; 16] = [
        ":", "echo", "true", "false", "cd", "exit", "export", "unset", "set", "jobs", "fg", "bg",
        "wait", "break", "continue", "shift",
    ];
    NAMES.contains(&name)
}

impl Shell {
    /// Runs one of its own commands and gives its status.
    pub(crate) fn run_builtin(&mut self, args: &[String]) -> i32 {
        let args: Vec<&str> = args.iter().map(String::as_str).collect();
        let Some((&name, rest)) = args.split_first() else {
            return 0;
        };
        let result = match name {
            "false" => return 1,
            "echo" => echo(rest),
            "cd" => self.cd(rest),
            "exit" => self.exit(rest),
            "export" => self.export_all(rest),
            "unset" => {
                rest.iter().for_each(|name| self.unset(name));
                Ok(0)
            }
            "set" => {
                self.all().for_each(|line| println!("{line}"));
                Ok(0)
            }
            "jobs" => {
                self.poll_jobs();
                self.jobs.iter().for_each(|job| println!("{}", job.line()));
                Ok(0)
            }
            "fg" => self.resume_named(rest, true),
            "bg" => self.resume_named(rest, false),
            "wait" => self.wait_named(rest),
            "break" => self.leave_loop(Jump::Break),
            "continue" => self.leave_loop(Jump::Continue),
            "shift" => self.shift(),
            _ => Ok(0),
        };
        result.unwrap_or_else(|what| {
            eprintln!("sh: {name}: {what}");
            1
        })
    }

    fn cd(&mut self, args: &[&str]) -> core::result::Result<i32, String> {
        let directory = match *args {
            [] => self.get("HOME").unwrap_or("/").to_owned(),
            ["-"] => self.get("OLDPWD").unwrap_or("/").to_owned(),
            [directory] => directory.to_owned(),
            _ => return Err("one directory is enough".to_owned()),
        };
        let old = fs::current_dir().unwrap_or_default();
        fs::set_current_dir(&directory).map_err(|errno| format!("{directory}: {errno}"))?;
        self.set("OLDPWD", old);
        self.set("PWD", fs::current_dir().unwrap_or(directory));
        Ok(0)
    }

    fn exit(&mut self, args: &[&str]) -> core::result::Result<i32, String> {
        let code = match args.first() {
            None => self.status,
            Some(text) => text
                .parse()
                .map_err(|_| format!("'{text}' is not a number"))?,
        };
        self.leave_with = Some(code & 0xff);
        Ok(code & 0xff)
    }

    fn export_all(&mut self, args: &[&str]) -> core::result::Result<i32, String> {
        if args.is_empty() {
            self.environment()
                .iter()
                .for_each(|line| println!("export {line}"));
        }
        for arg in args {
            let (name, value) = match arg.split_once('=') {
                Some((name, value)) => (name, Some(value)),
                None => (*arg, None),
            };
            if !lexer::is_name(name) {
                return Err(format!("'{name}' cannot be a variable's name"));
            }
            if let Some(value) = value {
                self.set(name, value.to_owned());
            }
            self.export(name);
        }
        Ok(0)
    }

    fn resume_named(
        &mut self,
        args: &[&str],
        foreground: bool,
    ) -> core::result::Result<i32, String> {
        if !self.interactive {
            return Err("there is no job control here".to_owned());
        }
        match self.find_job(args.first().copied()) {
            Some(number) => Ok(self.resume(number, foreground)),
            None => Err("there is no such job".to_owned()),
        }
    }

    fn wait_named(&mut self, args: &[&str]) -> core::result::Result<i32, String> {
        let mut status = 0;
        if args.is_empty() {
            status = self.wait_background(None);
        }
        for arg in args {
            let pid = match arg.starts_with('%') {
                true => self
                    .find_job(Some(arg))
                    .and_then(|number| self.jobs.iter().find(|job| job.number == number))
                    .map(|job| job.last_process()),
                false => arg.parse().ok(),
            };
            let pid = pid.ok_or_else(|| format!("'{arg}' is no process"))?;
            status = self.wait_background(Some(pid));
        }
        Ok(status)
    }

    fn leave_loop(&mut self, jump: Jump) -> core::result::Result<i32, String> {
        if self.loops == 0 {
            return Err("there is no loop around it".to_owned());
        }
        self.jump = Some(jump);
        Ok(0)
    }

    fn shift(&mut self) -> core::result::Result<i32, String> {
        if self.arguments.is_empty() {
            return Ok(1);
        }
        self.arguments.remove(0);
        Ok(0)
    }
}

fn echo(args: &[&str]) -> core::result::Result<i32, String> {
    let (end, words) = match args.split_first() {
        Some((&"-n", rest)) => ("", rest),
        _ => ("\n", args),
    };
    let line = words.join(" ") + end;
    io::write_all(STDOUT, line.as_bytes()).map_err(|errno| errno.to_string())?;
    Ok(0)
}
