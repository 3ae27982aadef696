//! Removes System V objects.

use crate::command::{Outcome, usage};
use halyard_rt::prelude::*;
use halyard_rt::sysv::{memory, message, semaphore};

/// `ipcrm [-q ID] [-m ID] [-s ID] [-Q KEY] [-M KEY] [-S KEY] [-a]...`: by id, by key (`0x` may stand before it), or all there are.
pub(crate) fn run(args: &[&'static str]) -> Outcome {
    let mut words = args.iter();
    let mut code = 0;
    if args.is_empty() {
        return usage("what is to be removed?");
    }
    while let Some(option) = words.next() {
        if *option == "-a" {
            remove_all()?;
            continue;
        }
        let Some(number) = words.next().and_then(|word| parse(word)) else {
            return usage(format!("'{option}' wants a number"));
        };
        let removed = match *option {
            "-q" => message::remove(number),
            "-m" => memory::remove(number),
            "-s" => semaphore::remove(number),
            "-Q" => message::get(number, 0).and_then(message::remove),
            "-M" => memory::get(number, 0, 0).and_then(memory::remove),
            "-S" => semaphore::get(number, 0, 0).and_then(semaphore::remove),
            _ => return usage(format!("there is no option '{option}'")),
        };
        if let Err(errno) = removed {
            eprintln!("ipcrm: {option} {number}: {errno}");
            code = 1;
        }
    }
    Ok(code)
}

fn parse(word: &str) -> Option<i32> {
    match word.strip_prefix("0x") {
        Some(digits) => u32::from_str_radix(digits, 16).ok().map(|key| key as i32),
        None => word.parse().ok(),
    }
}

/// Those that the caller may not remove are passed over.
fn remove_all() -> Result<()> {
    for place in 0..=message::info(false)?.1 {
        let _ = message::at(place, true).and_then(|(id, _)| message::remove(id));
    }
    for place in 0..=memory::info()?.1 {
        let _ = memory::at(place, true).and_then(|(id, _)| memory::remove(id));
    }
    for place in 0..=semaphore::info(false)?.1 {
        let _ = semaphore::at(place, true).and_then(|(id, _)| semaphore::remove(id));
    }
    Ok(())
}
