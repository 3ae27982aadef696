//! What a shell knows: variables, arguments, jobs, the last status.

use alloc::collections::BTreeMap;

use halyard_rt::prelude::*;
use halyard_rt::process::Pid;

use crate::job::Job;
use crate::lexer;

/// A variable.
struct Variable {
    value: String,
    exported: bool,
}

/// How a loop goes on after `break` or `continue`.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Jump {
    Break,
    Continue,
}

/// The shell's state.
pub(crate) struct Shell {
    variables: BTreeMap<String, Variable>,
    /// `$0`
    name: String,
    /// `$1`...
    pub(crate) arguments: Vec<String>,
    /// `$?`
    pub(crate) status: i32,
    /// `$$`, also in subshells.
    pid: Pid,
    /// `$!`
    pub(crate) last_background: Option<Pid>,
    /// It has a terminal and controls jobs.
    pub(crate) interactive: bool,
    pub(crate) jobs: Vec<Job>,
    /// Set by `exit`: the shell ends as soon as it can, with this.
    pub(crate) leave_with: Option<i32>,
    pub(crate) jump: Option<Jump>,
    /// How many loops are around.
    pub(crate) loops: usize,
}

impl Shell {
    /// A shell with the environment's variables.
    pub(crate) fn new(name: &str) -> Self {
        let exported = |(name, value): (&str, &str)| {
            let variable = Variable {
                value: value.to_owned(),
                exported: true,
            };
            (name.to_owned(), variable)
        };
        Self {
            variables: args::vars()
                .filter(|(name, _)| lexer::is_name(name))
                .map(exported)
                .collect(),
            name: name.to_owned(),
            arguments: Vec::new(),
            status: 0,
            pid: process::id(),
            last_background: None,
            interactive: false,
            jobs: Vec::new(),
            leave_with: None,
            jump: None,
            loops: 0,
        }
    }

    /// `$0` and `$1`... of a script.
    pub(crate) fn set_arguments(&mut self, args: &[&str]) {
        if let Some((name, rest)) = args.split_first() {
            self.name = (*name).to_owned();
            self.arguments = rest.iter().map(|arg| (*arg).to_owned()).collect();
        }
    }

    /// What `$name` stands for; nothing if it is not set.
    pub(crate) fn value(&self, name: &str) -> String {
        match name {
            "?" => self.status.to_string(),
            "$" => self.pid.to_string(),
            "!" => self
                .last_background
                .map(|pid| pid.to_string())
                .unwrap_or_default(),
            "#" => self.arguments.len().to_string(),
            "@" | "*" => self.arguments.join(" "),
            "0" => self.name.clone(),
            _ => match name.parse::<usize>() {
                Ok(number) => {
                    let argument = self.arguments.get(number.wrapping_sub(1));
                    argument.cloned().unwrap_or_default()
                }
                Err(_) => self.get(name).unwrap_or("").to_owned(),
            },
        }
    }

    /// A variable's value.
    pub(crate) fn get(&self, name: &str) -> Option<&str> {
        self.variables
            .get(name)
            .map(|variable| variable.value.as_str())
    }

    /// Sets a variable; one that is exported stays so.
    pub(crate) fn set(&mut self, name: &str, value: String) {
        match self.variables.get_mut(name) {
            Some(variable) => variable.value = value,
            None => {
                let exported = false;
                self.variables
                    .insert(name.to_owned(), Variable { value, exported });
            }
        }
    }

    /// Hands a variable on to programs from now on.
    pub(crate) fn export(&mut self, name: &str) {
        if let Some(variable) = self.variables.get_mut(name) {
            variable.exported = true;
        } else {
            let variable = Variable {
                value: String::new(),
                exported: true,
            };
            self.variables.insert(name.to_owned(), variable);
        }
    }

    /// Forgets a variable.
    pub(crate) fn unset(&mut self, name: &str) {
        self.variables.remove(name);
    }

    /// Every variable.
    pub(crate) fn all(&self) -> impl Iterator<Item = String> {
        self.variables
            .iter()
            .map(|(name, variable)| format!("{name}={}", variable.value))
    }

    /// The environment of a program.
    pub(crate) fn environment(&self) -> Vec<String> {
        let exported = self
            .variables
            .iter()
            .filter(|(_, variable)| variable.exported);
        exported
            .map(|(name, variable)| format!("{name}={}", variable.value))
            .collect()
    }
}
