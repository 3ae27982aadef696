//! Channels: calls to a server and their replies. Linux has none.

use alloc::sync::Arc;
use core::sync::atomic::{AtomicU32, Ordering};
use core::time::Duration;

use halyard_rt::channel::{Client, Message, Server, WORDS};
use halyard_rt::poll::{POLLERR, POLLHUP, POLLIN, POLLOUT, PollFd, poll};
use halyard_rt::process::Status;
use halyard_rt::signal::{self, Action, SIGCONT, SIGKILL, SIGSTOP, SIGUSR1, SignalSet};
use halyard_rt::{fd, ipc, prelude::*, thread};

use crate::runner::suite;
use crate::support::{
    Blocker, Outcome, Shared, check, check_eq, differs_on_linux, priority, set_fifo, settle,
};

suite!(
    channel_call_and_reply_carry_words_and_badge,
    channel_call_that_waits_is_taken_later,
    channel_descriptor_goes_both_ways,
    channel_without_a_server_is_epipe,
    channel_dead_server_fails_its_call_at_once,
    channel_server_that_receives_again_fails_the_call,
    channel_of_a_server_passed_on_in_a_long_chain_ends_with_the_first,
    channel_killed_caller_leaves_a_harmless_reply,
    channel_interrupted_call_is_eintr,
    channel_stop_and_continue_are_unseen,
    channel_ends_and_tags_are_checked,
    channel_nonblocking_ends_do_not_wait,
    channel_poll_tells_of_calls_and_of_the_end,
    channel_many_callers_and_servers_lose_nothing,
    channel_storm_of_kills_leaves_nothing,
    channel_server_is_raised_while_it_serves,
);

const HERE: &str = "a kernel without channels";

/// Serves `count` calls: answers each word plus the badge.
fn serve(server: &Server, count: u32) -> i32 {
    let Ok(mut request) = server.receive() else {
        return 1;
    };
    for _ in 1..count {
        let Ok(next) = server.reply_receive(&answer(&request)) else {
            return 2;
        };
        request = next;
    }
    i32::from(server.reply(&answer(&request), None).is_err())
}

fn answer(request: &halyard_rt::channel::Request) -> Message {
    let words: Vec<u64> = request
        .message
        .words()
        .iter()
        .map(|word| word + request.badge)
        .collect();
    Message::new(&words)
}

fn channel_call_and_reply_carry_words_and_badge() -> Outcome {
    differs_on_linux(HERE)?;
    let server = Server::new()?;
    let clients = [server.client(100)?, server.client(u64::MAX)?];
    let child = Blocker::start(|| serve(&server, 2 * (WORDS as u32 + 1)))?;
    let words = [1, 2, 3, 4, 5, 6, 7, 8u64];
    for (client, badge) in clients.iter().zip([100u64, u64::MAX]) {
        for count in 0..=WORDS {
            let reply = client.call(&Message::new(&words[..count]), None)?;
            check_eq!(reply.words().len(), count);
            let expected = words.iter().map(|word| word.wrapping_add(badge));
            check!(reply.words().iter().copied().eq(expected.take(count)));
            check!(reply.file.is_none());
        }
    }
    check_eq!(child.join()?, Status::Exited(0));
    Ok(())
}

fn channel_call_that_waits_is_taken_later() -> Outcome {
    differs_on_linux(HERE)?;
    let server = Server::new()?;
    let client = server.client(5)?;
    let callers: Vec<Blocker> = (0..3u64)
        .map(|n| {
            Blocker::start(|| {
                let reply = client.call(&Message::new(&[n, 7]), None);
                i32::from(!reply.is_ok_and(|reply| reply.words() == [n + 5, 12]))
            })
        })
        .collect::<Result<_>>()?;
    for n in 0..3 {
        let request = server.receive()?;
        check_eq!(
            (request.badge, request.message.words()),
            (5, [n, 7].as_slice())
        );
        server.reply(&answer(&request), None)?;
    }
    for caller in callers {
        check_eq!(caller.join()?, Status::Exited(0));
    }
    Ok(())
}

fn channel_descriptor_goes_both_ways() -> Outcome {
    differs_on_linux(HERE)?;
    let server = Server::new()?;
    let client = server.client(0)?;
    let child = Blocker::start(|| {
        let Ok(request) = server.receive() else {
            return 1;
        };
        let Some(Ok(file)) = request.message.file else {
            return 2;
        };
        if io::write_all(&file, b"served").is_err() {
            return 3;
        }
        let Ok(other) = server.client(77) else {
            return 4;
        };
        i32::from(
            server
                .reply(&Message::default(), Some(other.descriptor()))
                .is_err(),
        )
    })?;
    let (reader, writer) = fd::pipe()?;
    let reply = client.call(&Message::new(&[9]), Some(&writer))?;
    drop(writer);
    check_eq!(child.join()?, Status::Exited(0));
    let mut text = Vec::new();
    io::read_to_end(&reader, &mut text)?;
    check_eq!(text, b"served");
    let passed = match reply.file {
        Some(Ok(file)) => Client::from_fd(file),
        _ => return Err(crate::support::wrong("no descriptor came")),
    };
    let child = Blocker::start(|| serve(&server, 1))?;
    check_eq!(passed.call(&Message::new(&[1]), None)?.words(), [78]);
    check_eq!(child.join()?, Status::Exited(0));
    Ok(())
}

fn channel_without_a_server_is_epipe() -> Outcome {
    differs_on_linux(HERE)?;
    let server = Server::new()?;
    let client = server.client(0)?;
    // One waits to be taken when the server's end goes; the child must not hold that end.
    let number = server.descriptor().fd();
    let child = Blocker::start(|| {
        let _ = fd::close(number);
        match client.call(&Message::default(), None) {
            Err(Errno::EPIPE) => 0,
            _ => 1,
        }
    })?;
    check!(child.blocked()?);
    drop(server);
    check_eq!(child.join()?, Status::Exited(0));
    check_eq!(
        client.call(&Message::default(), None).err(),
        Some(Errno::EPIPE)
    );
    Ok(())
}

fn channel_dead_server_fails_its_call_at_once() -> Outcome {
    differs_on_linux(HERE)?;
    let server = Server::new()?;
    let client = server.client(0)?;
    let dying = Blocker::start(|| {
        let _request = server.receive();
        process::exit(0)
    })?;
    check_eq!(
        client.call(&Message::default(), None).err(),
        Some(Errno::ECONNRESET)
    );
    check_eq!(dying.join()?, Status::Exited(0));
    let killed = Blocker::start(|| {
        let _request = server.receive();
        time::sleep(Duration::from_secs(100));
        0
    })?;
    let caller = Blocker::start(|| match client.call(&Message::default(), None) {
        Err(Errno::ECONNRESET) => 0,
        _ => 1,
    })?;
    check!(caller.blocked()?);
    check_eq!(killed.kill()?, Status::Signaled(SIGKILL));
    check_eq!(caller.join()?, Status::Exited(0));
    Ok(())
}

fn channel_server_that_receives_again_fails_the_call() -> Outcome {
    differs_on_linux(HERE)?;
    let server = Server::new()?;
    let client = server.client(0)?;
    let child = Blocker::start(|| {
        let first = server.receive();
        let second = server.receive();
        i32::from(
            first.is_err() || second.is_err() || server.reply(&Message::default(), None).is_err(),
        )
    })?;
    check_eq!(
        client.call(&Message::default(), None).err(),
        Some(Errno::ECONNRESET)
    );
    check!(client.call(&Message::default(), None).is_ok());
    check_eq!(child.join()?, Status::Exited(0));
    Ok(())
}

/// Each call waits with the next channel's server, which nobody else holds, in its hand: where the first channel ends, so do all,
/// one after the other and not one within the other.
fn channel_of_a_server_passed_on_in_a_long_chain_ends_with_the_first() -> Outcome {
    const LENGTH: u32 = 300;
    differs_on_linux(HERE)?;
    let failed = Arc::new(AtomicU32::new(0));
    let first = Server::new()?;
    let (mut last, mut threads) = (None, Vec::new());
    for _ in 0..LENGTH {
        let next = Server::new()?;
        let server: &Server = last.as_ref().unwrap_or(&first);
        let (client, passed) = (server.client(0)?, next.descriptor().fd());
        let failed = Arc::clone(&failed);
        threads.push(thread::spawn(move || {
            let passed = Fd::from_raw(passed);
            let called = client.call(&Message::default(), Some(&passed));
            // The number was closed long ago.
            core::mem::forget(passed);
            let refused = called.err() == Some(Errno::EPIPE);
            failed.fetch_add(u32::from(refused), Ordering::SeqCst);
        })?);
        let mut fds = [PollFd::new(server.descriptor().fd(), POLLIN)];
        check_eq!(poll(&mut fds, None)?, 1);
        last = Some(next);
    }
    drop(last);
    drop(first);
    threads.into_iter().for_each(thread::Thread::join);
    check_eq!(failed.load(Ordering::SeqCst), LENGTH);
    Ok(())
}

fn channel_killed_caller_leaves_a_harmless_reply() -> Outcome {
    differs_on_linux(HERE)?;
    let server = Server::new()?;
    let client = server.client(0)?;
    let caller = || Blocker::start(|| i32::from(client.call(&Message::default(), None).is_err()));
    let taken = caller()?;
    server.receive()?;
    check_eq!(taken.kill()?, Status::Signaled(SIGKILL));
    check_eq!(
        server.reply(&Message::default(), None),
        Err(Errno::ECANCELED)
    );
    check_eq!(
        server.reply(&Message::default(), None),
        Err(Errno::ECANCELED)
    );
    // One that waits to be taken goes without a trace.
    let (queued, next) = (caller()?, caller()?);
    check_eq!(queued.kill()?, Status::Signaled(SIGKILL));
    server.receive()?;
    server.reply(&Message::default(), None)?;
    check_eq!(next.join()?, Status::Exited(0));
    Ok(())
}

extern "C" fn note(_: i32) {}

fn channel_interrupted_call_is_eintr() -> Outcome {
    differs_on_linux(HERE)?;
    let server = Server::new()?;
    let client = server.client(0)?;
    let caller = || {
        Blocker::start(|| {
            let _ = signal::set(SIGUSR1, Action::Call(note), 0, SignalSet::EMPTY);
            match client.call(&Message::default(), None) {
                Err(Errno::EINTR) => 0,
                _ => 1,
            }
        })
    };
    let queued = caller()?;
    process::kill(queued.pid(), SIGUSR1)?;
    check_eq!(queued.join()?, Status::Exited(0));
    let taken = caller()?;
    server.receive()?;
    process::kill(taken.pid(), SIGUSR1)?;
    check_eq!(taken.join()?, Status::Exited(0));
    check_eq!(
        server.reply(&Message::default(), None),
        Err(Errno::ECANCELED)
    );
    let receiver = Blocker::start(|| {
        let _ = signal::set(SIGUSR1, Action::Call(note), 0, SignalSet::EMPTY);
        match server.receive() {
            Err(Errno::EINTR) => 0,
            _ => 1,
        }
    })?;
    process::kill(receiver.pid(), SIGUSR1)?;
    check_eq!(receiver.join()?, Status::Exited(0));
    Ok(())
}

fn channel_stop_and_continue_are_unseen() -> Outcome {
    differs_on_linux(HERE)?;
    let server = Server::new()?;
    let client = server.client(1)?;
    let caller = Blocker::start(|| {
        let reply = client.call(&Message::new(&[4]), None);
        i32::from(!reply.is_ok_and(|reply| reply.words() == [5]))
    })?;
    let request = server.receive()?;
    process::kill(caller.pid(), SIGSTOP)?;
    settle();
    process::kill(caller.pid(), SIGCONT)?;
    settle();
    check!(caller.blocked()?);
    process::kill(caller.pid(), SIGSTOP)?;
    settle();
    server.reply(&answer(&request), None)?;
    settle();
    check!(caller.blocked()?);
    process::kill(caller.pid(), SIGCONT)?;
    check_eq!(caller.join()?, Status::Exited(0));
    Ok(())
}

fn channel_ends_and_tags_are_checked() -> Outcome {
    differs_on_linux(HERE)?;
    let server = Server::new()?;
    let client = server.client(0)?;
    let (reader, _writer) = fd::pipe()?;
    let number = server.descriptor().fd();
    let wrong_way = Client::from_fd(fd::dup(number)?);
    check_eq!(
        wrong_way.call(&Message::default(), None).err(),
        Some(Errno::EBADF)
    );
    let no_channel = Client::from_fd(reader);
    check_eq!(
        no_channel.call(&Message::default(), None).err(),
        Some(Errno::EBADF)
    );
    let command = ipc::command::CHANNEL_CALL;
    let client_number = client.descriptor().fd() as usize;
    for tag in [9, 0x109, 0x200, usize::MAX] {
        let result = crate::support::call(ipc::command::IPC_CALL, [command, client_number, tag, 0]);
        check_eq!(result, Err(Errno::EINVAL));
    }
    let result = crate::support::call(
        ipc::command::IPC_CALL,
        [command, client_number, 0x100, 4000],
    );
    check_eq!(result, Err(Errno::EBADF));
    check_eq!(io::read(number, &mut [0; 1]), Err(Errno::EINVAL));
    check_eq!(
        server.reply(&Message::default(), None),
        Err(Errno::ECANCELED)
    );
    Ok(())
}

fn channel_nonblocking_ends_do_not_wait() -> Outcome {
    differs_on_linux(HERE)?;
    let server = Server::new()?;
    let client = server.client(0)?;
    fd::set_nonblocking(client.descriptor(), true)?;
    fd::set_nonblocking(server.descriptor(), true)?;
    check_eq!(server.receive().err(), Some(Errno::EAGAIN));
    check_eq!(
        client.call(&Message::default(), None).err(),
        Some(Errno::EAGAIN)
    );
    Ok(())
}

fn channel_poll_tells_of_calls_and_of_the_end() -> Outcome {
    differs_on_linux(HERE)?;
    let server = Server::new()?;
    let client = server.client(0)?;
    let ready = |number: i32, events: i16, wait: u64| -> Result<i16> {
        let mut fds = [PollFd::new(number, events)];
        poll(&mut fds, Some(Duration::from_millis(wait)))?;
        Ok(fds[0].revents)
    };
    let (served, calling) = (server.descriptor().fd(), client.descriptor().fd());
    check_eq!(ready(served, POLLIN, 0)?, 0);
    check_eq!(ready(calling, POLLOUT, 0)?, POLLOUT);
    let caller = Blocker::start(|| {
        let _ = fd::close(served);
        i32::from(client.call(&Message::default(), None).is_err())
    })?;
    check_eq!(ready(served, POLLIN, 5000)?, POLLIN);
    server.receive()?;
    check_eq!(ready(served, POLLIN, 0)?, 0);
    server.reply(&Message::default(), None)?;
    check_eq!(caller.join()?, Status::Exited(0));
    drop(server);
    check_eq!(ready(calling, POLLOUT, 0)?, POLLERR | POLLHUP);
    Ok(())
}

fn channel_many_callers_and_servers_lose_nothing() -> Outcome {
    const CALLERS: u32 = 5;
    const CALLS: u32 = 400;
    differs_on_linux(HERE)?;
    let shared = Shared::new()?;
    let server = Server::new()?;
    let mut servers = Vec::new();
    for _ in 0..3 {
        servers.push(process::spawn(|| {
            let Ok(mut request) = server.receive() else {
                return 1;
            };
            loop {
                shared.add(1, 1);
                match server.reply_receive(&answer(&request)) {
                    Ok(next) => request = next,
                    Err(_) => return 2,
                }
            }
        })?);
    }
    let mut callers = Vec::new();
    for badge in 0..u64::from(CALLERS) {
        let client = server.client(badge)?;
        callers.push(process::spawn(|| {
            for round in 0..u64::from(CALLS) {
                let count = (round % 9) as usize;
                let words = [round; WORDS];
                let reply = client.call(&Message::new(&words[..count]), None);
                let expected = [round + badge; WORDS];
                if !reply.is_ok_and(|reply| reply.words() == &expected[..count]) {
                    return 1;
                }
            }
            0
        })?);
    }
    for caller in callers {
        check_eq!(process::wait_pid(caller)?, Status::Exited(0));
    }
    check_eq!(shared.get(1), CALLERS * CALLS);
    for server in servers {
        process::kill(server, SIGKILL)?;
        process::wait_pid(server)?;
    }
    Ok(())
}

fn live(kind: &str) -> Result<u64> {
    let objects = halyard_rt::objects::live().ok_or(Errno::ENOSYS)?;
    Ok(objects.get(kind).copied().unwrap_or(0))
}

fn channel_storm_of_kills_leaves_nothing() -> Outcome {
    differs_on_linux(HERE)?;
    let before = live("channel")?;
    for round in 0..60 {
        let server = Server::new()?;
        let client = server.client(round)?;
        let serving = process::spawn(|| serve(&server, u32::MAX))?;
        let calling: Vec<_> = (0..3)
            .map(|_| {
                process::spawn(|| {
                    while client.call(&Message::new(&[1]), None).is_ok() {}
                    0
                })
            })
            .collect::<Result<_>>()?;
        let _ = time::sleep_once(Duration::from_micros(100 * (round % 7)));
        let victims = if round % 2 == 0 {
            [calling[0], serving, calling[1], calling[2]]
        } else {
            [serving, calling[2], calling[1], calling[0]]
        };
        for victim in victims {
            process::kill(victim, SIGKILL)?;
        }
        for victim in victims {
            process::wait_pid(victim)?;
        }
    }
    check_eq!(live("channel")?, before);
    Ok(())
}

fn channel_server_is_raised_while_it_serves() -> Outcome {
    differs_on_linux(HERE)?;
    let shared = Shared::new()?;
    let server = Server::new()?;
    let client = server.client(0)?;
    let serving = Blocker::start(|| {
        for round in 1..=2 {
            if server.receive().is_err() {
                return 1;
            }
            shared.await_value(1, round);
            if server.reply(&Message::default(), None).is_err() {
                return 2;
            }
        }
        shared.await_value(1, 3);
        0
    })?;
    let caller = |fifo: u32| {
        Blocker::start(|| {
            let set = fifo == 0 || set_fifo(0, fifo).is_ok();
            i32::from(!set || client.call(&Message::default(), None).is_err())
        })
    };
    let high = caller(35)?;
    check_eq!(priority(serving.pid())?, -36);
    shared.set(1, 1);
    check_eq!(high.join()?, Status::Exited(0));
    check_eq!(priority(serving.pid())?, 20);
    // One that is raised while it waits.
    let low = caller(0)?;
    check_eq!(priority(serving.pid())?, 20);
    set_fifo(low.pid(), 45)?;
    check_eq!(priority(serving.pid())?, -46);
    check_eq!(low.kill()?, Status::Signaled(SIGKILL));
    check_eq!(priority(serving.pid())?, 20);
    check_eq!(serving.kill()?, Status::Signaled(SIGKILL));
    Ok(())
}
