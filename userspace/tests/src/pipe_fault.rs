//! Pipes and bad addresses. Rules 16 and 17.

use halyard_rt::{fd, io, nr, prelude::*};

use crate::pipe_size::PIPE_BUF;
use crate::runner::suite;
use crate::support::{Edge, Outcome, WILD, call, check, check_eq};

suite!(
    pipe_16_write_faulting_midway_leaves_nothing,
    pipe_16_large_write_faulting_later_gives_the_count,
    pipe_16_write_from_wild_pointer_is_efault,
    pipe_17_read_into_wild_pointer_keeps_the_data,
    pipe_17_read_faulting_midway_keeps_the_data,
    pipe_17_read_of_nothing_ignores_the_pointer,
);

fn pipe_16_write_faulting_midway_leaves_nothing() -> Outcome {
    let (reader, writer) = fd::pipe()?;
    let edge = Edge::new()?;
    let start = edge.before(96);
    check_eq!(
        call(nr::WRITE, [writer.fd() as usize, start, 200]),
        Err(Errno::EFAULT)
    );
    check_eq!(io::readable_bytes(&reader)?, 0);
    io::write_all(&writer, b"after")?;
    let mut text = [0; 16];
    check_eq!(io::read(&reader, &mut text)?, 5);
    check_eq!(&text[..5], b"after");
    Ok(())
}

fn pipe_16_large_write_faulting_later_gives_the_count() -> Outcome {
    let (reader, writer) = fd::pipe()?;
    let edge = Edge::new()?;
    let start = edge.before(PIPE_BUF);
    let count = call(nr::WRITE, [writer.fd() as usize, start, 3 * PIPE_BUF])?;
    check_eq!(count, PIPE_BUF);
    check_eq!(io::readable_bytes(&reader)?, PIPE_BUF);
    Ok(())
}

fn pipe_16_write_from_wild_pointer_is_efault() -> Outcome {
    let (reader, writer) = fd::pipe()?;
    for address in WILD {
        for length in [1, 100, 4096, 10_000] {
            let result = call(nr::WRITE, [writer.fd() as usize, address, length]);
            check_eq!(result, Err(Errno::EFAULT));
        }
    }
    check_eq!(io::readable_bytes(&reader)?, 0);
    Ok(())
}

fn pipe_17_read_into_wild_pointer_keeps_the_data() -> Outcome {
    let (reader, writer) = fd::pipe()?;
    io::write_all(&writer, b"precious")?;
    for address in WILD {
        let result = call(nr::READ, [reader.fd() as usize, address, 8]);
        check_eq!(result, Err(Errno::EFAULT));
    }
    let mut text = [0; 16];
    check_eq!(io::read(&reader, &mut text)?, 8);
    check_eq!(&text[..8], b"precious");
    Ok(())
}

fn pipe_17_read_faulting_midway_keeps_the_data() -> Outcome {
    let (reader, writer) = fd::pipe()?;
    let edge = Edge::new()?;
    io::write_all(&writer, &[b'd'; 200])?;
    let result = call(nr::READ, [reader.fd() as usize, edge.before(96), 200]);
    check_eq!(result, Err(Errno::EFAULT));
    check_eq!(io::readable_bytes(&reader)?, 200);
    let mut back = [0; 200];
    check_eq!(io::read(&reader, &mut back)?, 200);
    check!(back.iter().all(|&byte| byte == b'd'));
    Ok(())
}

fn pipe_17_read_of_nothing_ignores_the_pointer() -> Outcome {
    let (reader, writer) = fd::pipe()?;
    check_eq!(call(nr::READ, [reader.fd() as usize, 8, 0])?, 0);
    check_eq!(call(nr::WRITE, [writer.fd() as usize, 8, 0])?, 0);
    drop(writer);
    // At the end nothing is copied, so no pointer is looked at.
    check_eq!(call(nr::READ, [reader.fd() as usize, 8, 100])?, 0);
    Ok(())
}
