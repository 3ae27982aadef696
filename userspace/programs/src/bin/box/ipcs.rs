//! Lists System V objects.

use crate::command::{Outcome, usage};
use halyard_rt::prelude::*;
use halyard_rt::sysv::{Perm, memory, message, semaphore};

/// `ipcs [-q] [-m] [-s] [-l | -u]`: queues, segments, sets of semaphores, all three if not told; `-l` their limits, `-u` how much there is.
pub(crate) fn run(args: &[&'static str]) -> Outcome {
    let mut kinds = String::new();
    let mut mode = 'a';
    for letter in args
        .iter()
        .flat_map(|arg| arg.trim_start_matches('-').chars())
    {
        match letter {
            'q' | 'm' | 's' => kinds.push(letter),
            'a' => kinds.push_str("qms"),
            'l' | 'u' => mode = letter,
            _ => return usage(format!("there is no option '{letter}'")),
        }
    }
    if kinds.is_empty() {
        kinds.push_str("mqs");
    }
    for kind in kinds.chars() {
        match (mode, kind) {
            ('l', _) => limits(kind)?,
            ('u', _) => uses(kind)?,
            (_, 'q') => queues()?,
            (_, 'm') => segments()?,
            _ => sets()?,
        }
    }
    Ok(0)
}

fn common(id: i32, perm: &Perm) -> String {
    let (key, mode) = (perm.key, perm.mode & 0o777);
    format!("0x{key:08x} {id:>10} {:>6} {mode:>5o}", perm.uid)
}

fn queues() -> Result<()> {
    println!("------ Message queues ------");
    println!(
        "{:<10} {:>10} {:>6} {:>5} {:>10} {:>8}",
        "key", "msqid", "owner", "perms", "bytes", "messages"
    );
    for place in 0..=message::info(false)?.1 {
        if let Ok((id, status)) = message::at(place, true) {
            let common = common(id, &status.perm);
            println!("{common} {:>10} {:>8}", status.cbytes, status.qnum);
        }
    }
    Ok(())
}

fn segments() -> Result<()> {
    println!("------ Shared memory segments ------");
    println!(
        "{:<10} {:>10} {:>6} {:>5} {:>10} {:>6} status",
        "key", "shmid", "owner", "perms", "bytes", "nattch"
    );
    for place in 0..=memory::info()?.1 {
        if let Ok((id, status)) = memory::at(place, true) {
            let mode = status.perm.mode;
            let dest = if mode & 0o1000 != 0 { " dest" } else { "" };
            let locked = if mode & 0o2000 != 0 { " locked" } else { "" };
            let common = common(id, &status.perm);
            println!(
                "{common} {:>10} {:>6}{dest}{locked}",
                status.segsz, status.nattch
            );
        }
    }
    Ok(())
}

fn sets() -> Result<()> {
    println!("------ Semaphore sets ------");
    println!(
        "{:<10} {:>10} {:>6} {:>5} {:>6}",
        "key", "semid", "owner", "perms", "nsems"
    );
    for place in 0..=semaphore::info(false)?.1 {
        if let Ok((id, status)) = semaphore::at(place, true) {
            println!("{} {:>6}", common(id, &status.perm), status.nsems);
        }
    }
    Ok(())
}

fn limits(kind: char) -> Result<()> {
    match kind {
        'q' => {
            let (info, _) = message::info(false)?;
            println!(
                "queues: at most {}, of {} bytes, a message of {}",
                info.msgmni, info.msgmnb, info.msgmax
            );
        }
        'm' => {
            let (info, _) = memory::info()?;
            println!(
                "segments: at most {}, of {} pages in all",
                info.shmmni, info.shmall
            );
        }
        _ => {
            let (info, _) = semaphore::info(false)?;
            println!(
                "semaphore sets: at most {}, of {} each, {} operations a call, values to {}",
                info.semmni, info.semmsl, info.semopm, info.semvmx
            );
        }
    }
    Ok(())
}

fn uses(kind: char) -> Result<()> {
    match kind {
        'q' => {
            let (uses, _) = message::info(true)?;
            println!(
                "queues: {}, with {} messages of {} bytes",
                uses.msgpool, uses.msgmap, uses.msgtql
            );
        }
        'm' => {
            let uses = memory::uses()?;
            println!(
                "segments: {}, of {} pages, {} of them in memory",
                uses.used_ids, uses.shm_tot, uses.shm_rss
            );
        }
        _ => {
            let (uses, _) = semaphore::info(true)?;
            println!(
                "semaphore sets: {}, of {} semaphores",
                uses.semusz, uses.semaem
            );
        }
    }
    Ok(())
}
