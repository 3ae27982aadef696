//! Ways to take memory.

use halyard_rt::mm::{Mapping, PAGE, PROT_READ, PROT_WRITE, Sharing};
use halyard_rt::raw::general::{F_SETPIPE_SZ, MAP_ANONYMOUS, MAP_POPULATE, MAP_PRIVATE};
use halyard_rt::raw::net::SOCK_STREAM;
use halyard_rt::signal::{SIGBUS, SIGKILL};
use halyard_rt::{fd, memfd, net, nr, open, prelude::*, sysv, wild};

/// One way.
pub(crate) struct Means {
    /// What it is called.
    pub(crate) name: &'static str,
    /// How it must come to its end.
    pub(crate) end: End,
    /// The errno by which the kernel refuses more, if it comes to that.
    pub(crate) refusal: Errno,
    /// Takes memory until `refusal` and then calls what it was given, which stops the process. Returns only on another errno.
    pub(crate) take: fn(&mut dyn FnMut()) -> Errno,
    /// What a shell must still do meanwhile.
    pub(crate) line: &'static str,
    /// Gives back what stays when the process ends.
    pub(crate) clear: fn(),
}

/// The end of a glutton.
pub(crate) enum End {
    /// The kernel refuses to give more.
    Refused,
    /// It is ended by this signal.
    Signal(i32),
    /// It is refused more, and ended when somebody else needs memory.
    Outlived,
}

const PIECE: usize = 64 << 10;
const FILE: &str = "/tmp/famine";
const KEY: i32 = 0x7a3e_0000;
const IPC_CREAT: u32 = 0o1000;
const IPC_NOWAIT: u32 = 0o4000;

/// Two programs that a pipe connects.
const PIPELINE: &str = "test $(ls / | grep bin) = bin";
/// Bytes on their way are what has all the memory: a program must do without.
const PROGRAM: &str = "ls /bin/ls > /dev/null";

/// All of them.
pub(crate) const ALL: &[Means] = &[
    Means {
        name: "file",
        end: End::Refused,
        refusal: Errno::ENOSPC,
        take: file,
        line: PIPELINE,
        clear: || {
            let _ = fs::remove_file(FILE);
        },
    },
    Means {
        name: "memory file",
        end: End::Refused,
        refusal: Errno::ENOSPC,
        take: memory_file,
        line: PIPELINE,
        clear: || {},
    },
    Means {
        name: "names",
        end: End::Refused,
        refusal: Errno::ENOSPC,
        take: names,
        line: PIPELINE,
        clear: forget_names,
    },
    Means {
        name: "segment",
        end: End::Signal(SIGBUS),
        refusal: Errno::ENOSPC,
        take: segment,
        line: PIPELINE,
        clear: || {
            if let Ok(id) = sysv::memory::get(KEY, 0, 0) {
                let _ = sysv::memory::remove(id);
            }
        },
    },
    Means {
        name: "messages",
        end: End::Refused,
        refusal: Errno::ENOMEM,
        take: messages,
        line: PIPELINE,
        clear: || {
            for id in (KEY..).map_while(|key| sysv::message::get(key, 0).ok()) {
                let _ = sysv::message::remove(id);
            }
        },
    },
    Means {
        name: "pipes",
        end: End::Refused,
        refusal: Errno::ENOMEM,
        take: pipes,
        line: PROGRAM,
        clear: || {},
    },
    Means {
        name: "pipes filled from a file",
        end: End::Refused,
        refusal: Errno::ENOMEM,
        take: pipes_by_sendfile,
        line: PROGRAM,
        clear: || {},
    },
    Means {
        name: "sockets",
        end: End::Refused,
        refusal: Errno::ENOMEM,
        take: sockets,
        line: PROGRAM,
        clear: || {},
    },
    Means {
        name: "pages",
        end: End::Signal(SIGKILL),
        refusal: Errno::ENOMEM,
        take: pages,
        line: PIPELINE,
        clear: || {},
    },
    Means {
        name: "sleeper",
        end: End::Outlived,
        refusal: Errno::ENOMEM,
        take: populated,
        line: PIPELINE,
        clear: || {},
    },
];

/// Does `more` until it fails; if it does so as it should, `stop` is called.
fn until(refusal: Errno, stop: &mut dyn FnMut(), mut more: impl FnMut() -> Result<()>) -> Errno {
    loop {
        if let Err(errno) = more() {
            if errno == refusal {
                stop();
            }
            return errno;
        }
    }
}

fn fill(file: Result<Fd>, stop: &mut dyn FnMut()) -> Errno {
    let piece = vec![1; PIECE];
    match file {
        Ok(file) => until(Errno::ENOSPC, stop, || io::write(&file, &piece).map(drop)),
        Err(errno) => errno,
    }
}

fn file(stop: &mut dyn FnMut()) -> Errno {
    fill(fs::create(FILE), stop)
}

fn memory_file(stop: &mut dyn FnMut()) -> Errno {
    fill(memfd::create("famine", 0), stop)
}

fn name(number: usize) -> String {
    format!("{FILE}-{number:0200}")
}

fn names(stop: &mut dyn FnMut()) -> Errno {
    let mut number = 0;
    until(Errno::ENOSPC, stop, || {
        number += 1;
        fs::create(name(number)).map(drop)
    })
}

fn forget_names() {
    let mut number = 1;
    while fs::remove_file(name(number)).is_ok() {
        number += 1;
    }
}

fn segment(_: &mut dyn FnMut()) -> Errno {
    let taken = || -> Result<()> {
        let info = halyard_rt::system::info()?;
        let size = (info.total * u64::from(info.unit)) as usize / PAGE * PAGE;
        let id = sysv::memory::get(KEY, size, IPC_CREAT | 0o600)?;
        let memory = sysv::memory::attach(id, 0)?;
        (0..size).step_by(PAGE).for_each(|at| memory.store(at, 1));
        Ok(())
    };
    taken().err().unwrap_or(Errno::EINVAL)
}

fn messages(stop: &mut dyn FnMut()) -> Errno {
    let text = vec![1; 8000];
    let mut key = KEY;
    until(Errno::ENOMEM, stop, || {
        let id = sysv::message::get(key, IPC_CREAT | 0o600)?;
        key += 1;
        let mut status = sysv::message::status(id)?;
        status.qbytes = 1 << 20;
        sysv::message::set(id, &status)?;
        loop {
            match sysv::message::send(id, 1, &text, IPC_NOWAIT) {
                Err(Errno::EAGAIN) => return Ok(()),
                Err(errno) => return Err(errno),
                Ok(()) => {}
            }
        }
    })
}

/// Fills what does not block until it says that it is full.
fn stuff(end: &Fd, piece: &[u8]) -> Result<()> {
    loop {
        match io::write(end, piece) {
            Err(Errno::EAGAIN) => return Ok(()),
            Err(errno) => return Err(errno),
            Ok(_) => {}
        }
    }
}

/// Makes large pipes that do not block and has `fill` fill each.
fn hoard(stop: &mut dyn FnMut(), fill: impl Fn(&Fd) -> Result<()>) -> Errno {
    let mut held = Vec::new();
    until(Errno::ENOMEM, stop, || {
        let (reader, writer) = fd::pipe2(open::O_NONBLOCK)?;
        fd::fcntl(&writer, F_SETPIPE_SZ, 1 << 20)?;
        let filled = fill(&writer);
        held.push((reader, writer));
        filled
    })
}

fn pipes(stop: &mut dyn FnMut()) -> Errno {
    let piece = vec![1; PIECE];
    hoard(stop, |writer| stuff(writer, &piece))
}

fn pipes_by_sendfile(stop: &mut dyn FnMut()) -> Errno {
    let file = match fs::open("/bin/box") {
        Ok(file) => file,
        Err(errno) => return errno,
    };
    hoard(stop, |writer| {
        loop {
            let from = [0u64];
            let args = [writer.fd(), file.fd()].map(|fd| fd as usize);
            let [output, input] = args;
            let at = from.as_ptr() as usize;
            match wild::call(nr::SENDFILE, [output, input, at, PIECE, 0, 0]) {
                Err(Errno::EAGAIN) => return Ok(()),
                Err(errno) => return Err(errno),
                Ok(_) => {}
            }
        }
    })
}

fn sockets(stop: &mut dyn FnMut()) -> Errno {
    let (piece, mut held) = (vec![1; PAGE], Vec::new());
    until(Errno::ENOMEM, stop, || {
        let (one, other) = net::pair(SOCK_STREAM)?;
        for end in [&one, &other] {
            fd::set_nonblocking(end, true)?;
        }
        let stuffed = stuff(&one, &piece).and_then(|()| stuff(&other, &piece));
        held.push((one, other));
        stuffed
    })
}

fn pages(_: &mut dyn FnMut()) -> Errno {
    loop {
        match Mapping::anonymous(PIECE, PROT_READ | PROT_WRITE, Sharing::Private) {
            Ok(mapping) => {
                let mapping = mapping.leak();
                (0..PIECE).step_by(PAGE).for_each(|at| mapping.store(at, 1));
            }
            Err(errno) => return errno,
        }
    }
}

fn populated(stop: &mut dyn FnMut()) -> Errno {
    const FLAGS: u32 = MAP_PRIVATE | MAP_ANONYMOUS | MAP_POPULATE;
    let map = |length: usize| {
        let how = (PROT_READ | PROT_WRITE) as usize;
        wild::call(nr::MMAP, [0, length, how, FLAGS as usize, usize::MAX, 0])
    };
    let mut free = u64::MAX;
    // MAP_POPULATE is content with less: there is no more when nothing more is taken.
    until(Errno::ENOMEM, stop, || {
        map(PIECE)?;
        let before = core::mem::replace(&mut free, halyard_rt::system::info()?.free);
        if free < before {
            Ok(())
        } else {
            Err(Errno::ENOMEM)
        }
    })
}
