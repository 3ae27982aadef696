//! One process that waits for many. Each descriptor is added to the set once, with a number of the program's own; a wait
//! then costs what has something to say, not what is watched. Here: pipes from three children, a timer, and an end.

use core::time::Duration;

use halyard_rt::epoll::{self, EPOLLHUP, EPOLLIN, Event};
use halyard_rt::timer::{CLOCK_MONOTONIC, Setting, set, take, timerfd};
use halyard_rt::{fd, prelude::*};

const TIMER: u64 = 100;

/// A child that says a few words, each after a while.
fn speaker(number: u64, words: &[&str]) -> Result<Fd> {
    let (reader, writer) = fd::pipe()?;
    process::spawn(|| {
        for word in words {
            time::sleep(Duration::from_millis(7 + 3 * number));
            if io::write_all(&writer, word.as_bytes()).is_err() {
                return 1;
            }
        }
        0
    })?;
    // The writer is dropped here, so that the child holds the only one: its end is a hang-up.
    Ok(reader)
}

pub(crate) fn run() -> Result<()> {
    let set_of_all = epoll::create(0)?;
    let mut speakers = Vec::new();
    let texts: [&[&str]; 3] = [&["one", "two", "three"], &["uno", "due"], &["eins"]];
    for (number, words) in texts.into_iter().enumerate() {
        let reader = speaker(number as u64, words)?;
        let event = Event::new(EPOLLIN, number as u64);
        epoll::control(&set_of_all, epoll::EPOLL_CTL_ADD, &reader, event)?;
        speakers.push(Some(reader));
    }
    let clock = timerfd(CLOCK_MONOTONIC, 0)?;
    let tick = Duration::from_millis(10);
    set(&clock, 0, Setting::new(tick, tick))?;
    let event = Event::new(EPOLLIN, TIMER);
    epoll::control(&set_of_all, epoll::EPOLL_CTL_ADD, &clock, event)?;

    let mut events = [Event::default(); 8];
    while speakers.iter().any(Option::is_some) {
        let count = epoll::wait(&set_of_all, &mut events, None)?;
        for event in events.iter().take(count) {
            if event.data == TIMER {
                println!("tick, {} at once", take(&clock)?);
                continue;
            }
            let Some(place) = speakers.get_mut(event.data as usize) else {
                continue;
            };
            let mut word = [0; 16];
            if let Some(reader) = place
                && event.events & EPOLLIN != 0
            {
                let count = io::read(&*reader, &mut word)?;
                let text = core::str::from_utf8(&word[..count]).unwrap_or("?");
                println!("speaker {}: {text}", event.data);
            } else if event.events & EPOLLHUP != 0 {
                println!("speaker {} has left", event.data);
                // Closing the last descriptor takes it out of the set.
                *place = None;
            }
        }
    }
    while process::wait().is_ok() {}
    Ok(())
}
