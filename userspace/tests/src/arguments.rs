//! Every call survives wild pointers, with EFAULT.

use halyard_rt::{fd, fs, nr, open, prelude::*};

use crate::runner::suite;
use crate::support::{Edge, Outcome, WILD, call, check, check_eq};

suite!(
    wild_paths_are_efault,
    wild_buffers_are_efault,
    wild_structures_are_efault,
    wild_vectors_are_efault,
    path_running_into_a_bad_page_is_efault,
    path_up_to_the_edge_is_read,
    exec_with_wild_vectors_is_efault,
    huge_lengths_do_no_harm,
);

const CWD: usize = halyard_rt::raw::general::AT_FDCWD as usize;

fn wild_paths_are_efault() -> Outcome {
    let good = c"/tmp".as_ptr() as usize;
    let place = [0u8; 256];
    let at = place.as_ptr() as usize;
    for wild in WILD {
        let calls: [(usize, [usize; 5]); 14] = [
            (nr::OPENAT, [CWD, wild, 0, 0, 0]),
            (nr::MKDIRAT, [CWD, wild, 0o755, 0, 0]),
            (nr::UNLINKAT, [CWD, wild, 0, 0, 0]),
            (nr::SYMLINKAT, [wild, CWD, good, 0, 0]),
            (nr::SYMLINKAT, [good, CWD, wild, 0, 0]),
            (nr::LINKAT, [CWD, wild, CWD, good, 0]),
            (nr::RENAMEAT2, [CWD, wild, CWD, good, 0]),
            (nr::RENAMEAT2, [CWD, good, CWD, wild, 0]),
            (nr::READLINKAT, [CWD, wild, at, 256, 0]),
            (nr::NEWFSTATAT, [CWD, wild, at, 0, 0]),
            (nr::FACCESSAT, [CWD, wild, 0, 0, 0]),
            (nr::FCHMODAT, [CWD, wild, 0o644, 0, 0]),
            (nr::CHDIR, [wild, 0, 0, 0, 0]),
            (nr::EXECVE, [wild, 0, 0, 0, 0]),
        ];
        for (number, args) in calls {
            let name = nr::name(number);
            check_eq!(
                (name, wild, call(number, args)),
                (name, wild, Err(Errno::EFAULT))
            );
        }
    }
    Ok(())
}

fn wild_buffers_are_efault() -> Outcome {
    let path = "/tmp/wild_buffers";
    fs::write(path, &[1; 100])?;
    let file = fs::open_with(path, open::O_RDWR, 0)?;
    let zero = fs::open("/dev/zero")?;
    let random = fs::open("/dev/urandom")?;
    let directory = fs::open("/")?;
    let (file_fd, directory_fd) = (file.fd() as usize, directory.fd() as usize);
    fs::symlink("/tmp", "/tmp/wild_link")?;
    let link = c"/tmp/wild_link".as_ptr() as usize;
    for wild in WILD {
        let calls: [(usize, [usize; 4]); 9] = [
            (nr::READ, [file_fd, wild, 50, 0]),
            (nr::WRITE, [file_fd, wild, 50, 0]),
            (nr::PREAD64, [file_fd, wild, 50, 0]),
            (nr::PWRITE64, [file_fd, wild, 50, 0]),
            (nr::READ, [zero.fd() as usize, wild, 50, 0]),
            (nr::READ, [random.fd() as usize, wild, 50, 0]),
            (nr::GETDENTS64, [directory_fd, wild, 500, 0]),
            (nr::READLINKAT, [CWD, link, wild, 50]),
            (nr::GETCWD, [wild, 50, 0, 0]),
        ];
        for (number, args) in calls {
            let name = nr::name(number);
            check_eq!(
                (name, wild, call(number, args)),
                (name, wild, Err(Errno::EFAULT))
            );
        }
    }
    // What failed changed nothing.
    check_eq!(fs::read(path)?, [1; 100]);
    fs::remove_file(path)?;
    fs::remove_file("/tmp/wild_link")?;
    Ok(())
}

fn wild_structures_are_efault() -> Outcome {
    let path = c"/".as_ptr() as usize;
    let (reader, _writer) = fd::pipe()?;
    let pipe = reader.fd() as usize;
    let fionread = halyard_rt::raw::ioctl::FIONREAD as usize;
    for wild in WILD {
        let calls: [(usize, [usize; 4]); 12] = [
            (nr::NEWFSTATAT, [CWD, path, wild, 0]),
            (nr::FSTAT, [pipe, wild, 0, 0]),
            (nr::PIPE2, [wild, 0, 0, 0]),
            (nr::IOCTL, [pipe, fionread, wild, 0]),
            (nr::UNAME, [wild, 0, 0, 0]),
            (nr::SYSINFO, [wild, 0, 0, 0]),
            (nr::CLOCK_GETTIME, [0, wild, 0, 0]),
            (nr::RT_SIGACTION, [10, wild, 0, 8]),
            (nr::RT_SIGACTION, [10, 0, wild, 8]),
            (nr::RT_SIGPROCMASK, [0, wild, 0, 8]),
            (nr::RT_SIGPROCMASK, [0, 0, wild, 8]),
            (nr::SIGALTSTACK, [wild, 0, 0, 0]),
        ];
        for (number, args) in calls {
            let name = nr::name(number);
            check_eq!(
                (name, wild, call(number, args)),
                (name, wild, Err(Errno::EFAULT))
            );
        }
    }
    Ok(())
}

fn wild_vectors_are_efault() -> Outcome {
    let (reader, writer) = fd::pipe()?;
    halyard_rt::io::write_all(&writer, b"data")?;
    for wild in WILD {
        let parts = [[wild, 4]];
        let list = parts.as_ptr() as usize;
        check_eq!(
            call(nr::READV, [reader.fd() as usize, list, 1]),
            Err(Errno::EFAULT)
        );
        check_eq!(
            call(nr::WRITEV, [writer.fd() as usize, list, 1]),
            Err(Errno::EFAULT)
        );
        check_eq!(
            call(nr::READV, [reader.fd() as usize, wild, 1]),
            Err(Errno::EFAULT)
        );
    }
    check_eq!(halyard_rt::io::readable_bytes(&reader)?, 4);
    Ok(())
}

fn path_running_into_a_bad_page_is_efault() -> Outcome {
    let edge = Edge::new()?;
    let start = edge.before(3);
    for (index, byte) in b"/tm".iter().enumerate() {
        halyard_rt::wild::store(start + index, *byte);
    }
    check_eq!(call(nr::CHDIR, [start]), Err(Errno::EFAULT));
    check_eq!(call(nr::CHDIR, [edge.bad()]), Err(Errno::EFAULT));
    Ok(())
}

fn path_up_to_the_edge_is_read() -> Outcome {
    let edge = Edge::new()?;
    let start = edge.before(5);
    for (index, byte) in b"/tmp\0".iter().enumerate() {
        halyard_rt::wild::store(start + index, *byte);
    }
    check_eq!(call(nr::CHDIR, [start])?, 0);
    check_eq!(fs::current_dir()?, "/tmp");
    Ok(())
}

fn exec_with_wild_vectors_is_efault() -> Outcome {
    let path = c"/bin/tests".as_ptr() as usize;
    for wild in WILD {
        check_eq!(call(nr::EXECVE, [path, wild, 0]), Err(Errno::EFAULT));
        check_eq!(call(nr::EXECVE, [path, 0, wild]), Err(Errno::EFAULT));
        let list = [wild, 0];
        check_eq!(
            call(nr::EXECVE, [path, list.as_ptr() as usize, 0]),
            Err(Errno::EFAULT)
        );
    }
    Ok(())
}

/// More than there is memory for: a short count or an error, and the program lives.
fn huge_lengths_do_no_harm() -> Outcome {
    let page = [0u8; 4096];
    let at = page.as_ptr() as usize;
    let null = fs::open_with("/dev/null", open::O_RDWR, 0)?;
    let fd = null.fd() as usize;
    for length in [usize::MAX, isize::MAX as usize, 1 << 62, 1 << 47] {
        let _ = call(nr::READ, [fd, at, length]);
        let _ = call(
            nr::READLINKAT,
            [CWD, c"/proc/self".as_ptr() as usize, at, length.min(4096)],
        );
        let _ = call(nr::GETDENTS64, [fd, at, length]);
    }
    for count in [1025, u32::MAX as usize] {
        check_eq!(call(nr::READV, [fd, at, count]), Err(Errno::EINVAL));
        check_eq!(call(nr::WRITEV, [fd, at, count]), Err(Errno::EINVAL));
    }
    check_eq!(
        call(nr::PPOLL, [at, u32::MAX as usize, 0, 0, 8]),
        Err(Errno::EINVAL)
    );
    check!(call(nr::GETCWD, [at, usize::MAX]).is_ok());
    Ok(())
}
