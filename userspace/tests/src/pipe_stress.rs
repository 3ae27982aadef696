//! Pipes under load: no wake-up is lost, no byte, no memory. Rule 20.

use core::time::Duration;

use halyard_rt::process::{Pid, Status};
use halyard_rt::{fd, io, prelude::*};

use crate::pipe_size::{PIPE_BUF, fill};
use crate::runner::suite;
use crate::support::{Outcome, Random, check_eq, differs_on_linux};
use crate::system::{live_objects, live_objects_settled};

suite!(
    pipe_20_ping_pong_pairs_lose_no_wake_up,
    pipe_20_ring_passes_a_token,
    pipe_20_many_writers_and_readers_lose_no_byte,
    pipe_20_random_sizes_arrive_in_order,
    pipe_20_full_pipes_give_their_memory_back,
);

/// Each part of the load lasts this long, or until it has done its rounds.
const LIMIT: Duration = Duration::from_millis(2500);

fn all_pass(children: &[Pid]) -> Outcome {
    for &child in children {
        check_eq!(process::wait_pid(child)?, Status::Exited(0));
    }
    Ok(())
}

fn pipe_20_ping_pong_pairs_lose_no_wake_up() -> Outcome {
    const PAIRS: usize = 4;
    const ROUNDS: u32 = 2000;
    let end = time::uptime() + LIMIT;
    let mut children = Vec::new();
    for _ in 0..PAIRS {
        let (ping_out, ping_in) = fd::pipe()?;
        let (pong_out, pong_in) = fd::pipe()?;
        let (ping_number, pong_number) = (ping_in.fd(), pong_in.fd());
        children.push(process::spawn(|| {
            let _ = fd::close(ping_number);
            // Echoes until the other side closes.
            let mut byte = [0];
            while let Ok(1) = io::read(&ping_out, &mut byte) {
                if io::write(&pong_in, &byte) != Ok(1) {
                    return 1;
                }
            }
            0
        })?);
        children.push(process::spawn(|| {
            let _ = fd::close(pong_number);
            for round in 0..ROUNDS {
                let sent = [round as u8];
                let mut back = [0];
                let passed = io::write(&ping_in, &sent) == Ok(1)
                    && io::read(&pong_out, &mut back) == Ok(1)
                    && back == sent;
                if !passed {
                    return 1;
                }
                if time::uptime() > end {
                    break;
                }
            }
            0
        })?);
    }
    all_pass(&children)
}

fn pipe_20_ring_passes_a_token() -> Outcome {
    const STATIONS: usize = 8;
    const ROUNDS: u32 = 500;
    let pipes = (0..STATIONS)
        .map(|_| fd::pipe())
        .collect::<Result<Vec<_>>>()?;
    let mut children = Vec::new();
    for station in 1..STATIONS {
        let (from, to) = (pipes[station - 1].0.fd(), pipes[station].1.fd());
        children.push(process::spawn(|| {
            let mut token = [0; 4];
            for _ in 0..ROUNDS {
                if io::read_full(from, &mut token) != Ok(4) || io::write(to, &token) != Ok(4) {
                    return 1;
                }
            }
            0
        })?);
    }
    for round in 0..ROUNDS {
        io::write_all(&pipes[0].1, &round.to_le_bytes())?;
        let mut token = [0; 4];
        io::read_full(&pipes[STATIONS - 1].0, &mut token)?;
        check_eq!(u32::from_le_bytes(token), round);
    }
    all_pass(&children)
}

fn pipe_20_many_writers_and_readers_lose_no_byte() -> Outcome {
    const SIDES: usize = 6;
    const MESSAGES: usize = 200;
    let (reader, writer) = fd::pipe()?;
    let (result_out, result_in) = fd::pipe()?;
    let mut children = Vec::new();
    for side in 0..SIDES {
        let size = 1 + side * 700;
        children.push(process::spawn(|| {
            let message = vec![1; size];
            let sent = (0..MESSAGES).all(|_| io::write(&writer, &message) == Ok(size));
            i32::from(!sent)
        })?);
    }
    let writing_end = writer.fd();
    for side in 0..SIDES {
        children.push(process::spawn(|| {
            let _ = fd::close(writing_end);
            let mut buffer = vec![0; 100 + side * 1000];
            let mut total = 0u64;
            loop {
                match io::read(&reader, &mut buffer) {
                    Ok(0) => break,
                    Ok(count) => total += count as u64,
                    Err(_) => return 1,
                }
            }
            i32::from(io::write_all(&result_in, &total.to_le_bytes()).is_err())
        })?);
    }
    drop(writer);
    drop(result_in);
    let mut total = 0;
    let mut word = [0; 8];
    while io::read_full(&result_out, &mut word)? == 8 {
        total += u64::from_le_bytes(word);
    }
    let expected: usize = (0..SIDES).map(|side| (1 + side * 700) * MESSAGES).sum();
    check_eq!(total, expected as u64);
    all_pass(&children)
}

fn pipe_20_random_sizes_arrive_in_order() -> Outcome {
    const TOTAL: usize = 600_000;
    const SEED: u64 = 0x20_20_20;
    println!("# seed {SEED:#x}");
    let (reader, writer) = fd::pipe()?;
    let byte_at = |index: usize| (index ^ (index >> 8)) as u8;
    let child = process::spawn(|| {
        let mut random = Random(SEED);
        let mut sent = 0;
        while sent < TOTAL {
            let size = (1 + random.below(3 * PIPE_BUF)).min(TOTAL - sent);
            let data: Vec<u8> = (sent..sent + size).map(byte_at).collect();
            if io::write(&writer, &data) != Ok(size) {
                return 1;
            }
            sent += size;
        }
        0
    })?;
    drop(writer);
    let mut random = Random(SEED + 1);
    let mut at = 0;
    loop {
        let mut buffer = vec![0; 1 + random.below(2 * PIPE_BUF)];
        let count = io::read(&reader, &mut buffer)?;
        if count == 0 {
            break;
        }
        for (index, &byte) in buffer[..count].iter().enumerate() {
            check_eq!((at + index, byte), (at + index, byte_at(at + index)));
        }
        at += count;
    }
    check_eq!(at, TOTAL);
    all_pass(&[child])
}

fn pipe_20_full_pipes_give_their_memory_back() -> Outcome {
    differs_on_linux("it does not count its live objects")?;
    let before = live_objects();
    for _ in 0..8 {
        let child = process::spawn(|| {
            for _ in 0..20 {
                let Ok((reader, writer)) = fd::pipe() else {
                    return 1;
                };
                if fill(&writer).is_err() {
                    return 1;
                }
                // Open ends go with the process.
                let _ = (reader.into_raw(), writer.into_raw());
            }
            0
        })?;
        all_pass(&[child])?;
    }
    check_eq!(live_objects_settled(&before), before);
    Ok(())
}
