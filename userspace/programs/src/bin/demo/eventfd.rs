//! An eventfd is a number behind a descriptor. Writing adds to it, reading takes it all and waits while it is zero. So it
//! tells "something happened, so many times" to whoever has the descriptor, in eight bytes, without a buffer that fills.

use halyard_rt::event::{EFD_SEMAPHORE, add, eventfd, take};
use halyard_rt::prelude::*;

pub(crate) fn run() -> Result<()> {
    // Shared by fork, like any descriptor.
    let jobs = eventfd(0, 0)?;
    let worker = process::spawn(|| {
        let mut done = 0;
        while done < 10 {
            // Sleeps until there is something; several signals that came meanwhile are one number.
            match take(&jobs) {
                Ok(count) => {
                    println!("worker: woken for {count}");
                    done += count;
                }
                Err(_) => return 1,
            }
        }
        0
    })?;
    for burst in [1, 2, 3, 4] {
        println!("main: {burst} more");
        add(&jobs, burst)?;
        time::sleep(core::time::Duration::from_millis(5));
    }
    process::wait_pid(worker)?;

    // As a semaphore each read takes one: two places, three who want one.
    let places = eventfd(2, EFD_SEMAPHORE)?;
    let mut guests = Vec::new();
    for guest in 1..=3 {
        guests.push(process::spawn(|| {
            if take(&places).is_err() {
                return 1;
            }
            println!("guest {guest} sits down");
            time::sleep(core::time::Duration::from_millis(10));
            println!("guest {guest} leaves");
            i32::from(add(&places, 1).is_err())
        })?);
    }
    for guest in guests {
        process::wait_pid(guest)?;
    }
    Ok(())
}
