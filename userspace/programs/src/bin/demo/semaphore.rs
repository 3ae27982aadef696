//! Three philosophers at a table with three forks. Each needs two. Whoever takes one and then waits for the other may starve the table;
//! an array of operations takes both at once or none, so nobody ever holds one fork and waits.

use halyard_rt::prelude::*;
use halyard_rt::sysv::semaphore::{self, operation};
use halyard_rt::sysv::{IPC_CREAT, IPC_PRIVATE, Id, SEM_UNDO};

const PHILOSOPHERS: u16 = 3;
const MEALS: u32 = 3;

pub(crate) fn run() -> Result<()> {
    // One semaphore a fork; 1: it lies on the table.
    let forks = semaphore::get(IPC_PRIVATE, PHILOSOPHERS.into(), IPC_CREAT | 0o600)?;
    semaphore::set_values(forks, &[1; PHILOSOPHERS as usize])?;
    let mut children = Vec::new();
    for number in 0..PHILOSOPHERS {
        children.push(process::spawn(|| match dine(forks, number) {
            Ok(()) => 0,
            Err(_) => 1,
        })?);
    }
    for child in children {
        process::wait_pid(child)?;
    }
    println!("forks on the table: {:?}", semaphore::values(forks)?);
    // Nobody's end removes it: it is there until somebody does.
    semaphore::remove(forks)
}

fn dine(forks: Id, number: u16) -> Result<()> {
    let (left, right) = (number, (number + 1) % PHILOSOPHERS);
    // With SEM_UNDO the kernel puts the forks back if a philosopher is killed while eating.
    let take = [
        operation(left, -1, SEM_UNDO),
        operation(right, -1, SEM_UNDO),
    ];
    let put = [operation(left, 1, SEM_UNDO), operation(right, 1, SEM_UNDO)];
    for meal in 1..=MEALS {
        semaphore::operate(forks, &take)?;
        println!("philosopher {number} eats, meal {meal}");
        time::sleep(core::time::Duration::from_millis(2));
        semaphore::operate(forks, &put)?;
    }
    Ok(())
}
