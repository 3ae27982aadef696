//! A futex is a word that processes share, on which they can sleep. Here it is a semaphore: the word counts free places. While
//! there is one, taking it is an atomic subtraction and the kernel hears nothing of it.

use core::sync::atomic::{AtomicU32, Ordering};

use halyard_rt::mm::{Mapping, PAGE, PROT_READ, PROT_WRITE, Sharing};
use halyard_rt::prelude::*;
use halyard_rt::thread::{futex_wait_shared, futex_wake_shared};

fn down(places: &AtomicU32) {
    loop {
        let free = places.load(Ordering::Relaxed);
        if free == 0 {
            // Sleeps only if the word is still 0: who puts one back after our look changes it, and we do not sleep.
            let _ = futex_wait_shared(places, 0, None);
        } else if places
            .compare_exchange(free, free - 1, Ordering::Acquire, Ordering::Relaxed)
            .is_ok()
        {
            return;
        }
    }
}

fn up(places: &AtomicU32) {
    places.fetch_add(1, Ordering::Release);
    let _ = futex_wake_shared(places, 1);
}

pub(crate) fn run() -> Result<()> {
    let page = Mapping::anonymous(PAGE, PROT_READ | PROT_WRITE, Sharing::Shared)?;
    let (places, inside) = (page.atomic(0), page.atomic(4));
    places.store(2, Ordering::Relaxed);
    let mut guests = Vec::new();
    for guest in 1..=4 {
        guests.push(process::spawn(|| {
            down(places);
            let now = inside.fetch_add(1, Ordering::Relaxed) + 1;
            println!("guest {guest} is in, {now} of 2 places taken");
            time::sleep(core::time::Duration::from_millis(10));
            inside.fetch_sub(1, Ordering::Relaxed);
            up(places);
            0
        })?);
    }
    for guest in guests {
        process::wait_pid(guest)?;
    }
    println!("{} places are free again", places.load(Ordering::Relaxed));
    Ok(())
}
