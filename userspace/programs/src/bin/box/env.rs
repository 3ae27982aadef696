//! Shows the environment, or runs a command with a changed one.

use crate::command::{Failure, Outcome};
use halyard_rt::prelude::*;

/// `env [NAME=VALUE...] [COMMAND...]`
pub(crate) fn run(args: &[&'static str]) -> Outcome {
    let split = args
        .iter()
        .position(|arg| !arg.contains('='))
        .unwrap_or(args.len());
    let (settings, command) = args.split_at(split);
    let mut vars: Vec<&'static [u8]> = args::vars_bytes().collect();
    for setting in settings {
        let name = setting.split_inclusive('=').next().unwrap_or(setting);
        vars.retain(|var| !var.starts_with(name.as_bytes()));
        vars.push(setting.as_bytes());
    }
    let Some(name) = command.first() else {
        let mut out = BufWriter::new(STDOUT);
        for var in vars {
            out.write(var)?;
            out.write(b"\n")?;
        }
        out.flush()?;
        return Ok(0);
    };
    let path = vars.iter().find_map(|var| var.strip_prefix(b"PATH="));
    let path = path.unwrap_or(b"/bin").to_vec();
    let mut errno = Errno::ENOENT;
    for directory in path.split(|&byte| byte == b':') {
        let file = match name.contains('/') {
            true => name.as_bytes().to_vec(),
            false => crate::command::join(directory, name.as_bytes()),
        };
        match process::exec(file, command, &vars) {
            Errno::ENOENT => {}
            other => errno = other,
        }
    }
    Err(Failure::On((*name).to_owned(), errno))
}
