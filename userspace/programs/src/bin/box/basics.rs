//! The tools that are hardly longer than their names: echo, true, false, pwd, yes.

use crate::command::Outcome;
use halyard_rt::prelude::*;

/// Prints its arguments.
pub(crate) fn echo(args: &[&'static str]) -> Outcome {
    let (end, words) = match args.split_first() {
        Some((&"-n", rest)) => ("", rest),
        _ => ("\n", args),
    };
    let line = words.join(" ") + end;
    io::write_all(STDOUT, line.as_bytes())?;
    Ok(0)
}

/// Succeeds.
pub(crate) fn yes_indeed(_: &[&'static str]) -> Outcome {
    Ok(0)
}

/// Fails.
pub(crate) fn no(_: &[&'static str]) -> Outcome {
    Ok(1)
}

/// Prints the working directory.
pub(crate) fn pwd(_: &[&'static str]) -> Outcome {
    println!("{}", fs::current_dir()?);
    Ok(0)
}

/// Prints a line for ever.
pub(crate) fn yes(args: &[&'static str]) -> Outcome {
    let line = if args.is_empty() {
        "y\n".to_owned()
    } else {
        args.join(" ") + "\n"
    };
    let mut out = BufWriter::new(STDOUT);
    loop {
        out.write(line.as_bytes())?;
    }
}
