//! From a machine that is up to the first program.

use alloc::boxed::Box;
use alloc::string::String;
use alloc::sync::Arc;
use alloc::vec::Vec;
use core::fmt;
use core::ops::Range;

use crate::Errno;
use crate::devices::{Devices, Found};
use crate::fs::descriptors::{DESCRIPTORS_MAX, DescriptorTable};
use crate::fs::devices::Random;
use crate::fs::namespace::Namespace;
use crate::fs::open::{self, OpenRequest, Opened};
use crate::fs::open_file::OpenFlags;
use crate::fs::path::{FsContext, Walker};
use crate::fs::{initramfs, mount};
use crate::ipc::epoll::Nesting;
use crate::ipc::futex::FutexTable;
use crate::ipc::posix_mq::PosixQueues;
use crate::ipc::sysv::SysV;
use crate::kernel::Kernel;
use crate::log::Event;
use crate::machine::{Frame, Machine, PAGE_SIZE, UserContext};
use crate::mm::{Memory, MemoryObject};
use crate::process::credentials::Credentials;
use crate::process::image::{self, Strings};
use crate::process::limits::Limits;
use crate::process::signal::{self, ProcessSignals, ThreadSignals};
use crate::process::state::{Parts, Process};
use crate::process::table::ProcessTable;
use crate::process::thread::Thread;
use crate::sched::Scheduler;
use crate::sched::run_queue::Policy;
use crate::sched::task::Task;
use crate::time::Clock;
use crate::tty::Tty;

/// What the machine hands over.
pub struct BootInfo {
    /// The machine.
    pub machine: &'static dyn Machine,
    /// Its page frames.
    pub memory: &'static Memory,
    /// The archive with the first files (cpio, newc).
    pub initramfs: Option<&'static [u8]>,
    /// The frames that hold the archive, to be given to the pool when it is unpacked.
    pub initramfs_frames: Range<Frame>,
    /// Bytes that the kernel holds outside the pool: its image, its tables, its first heap.
    pub kernel_bytes: usize,
    /// The command line: `init=PATH`, `quiet`, and after ` -- ` init's arguments.
    pub command_line: &'static str,
    /// Randomness for address layout and the random devices.
    pub seed: [u8; 32],
    /// Wall clock at boot, ns since 1970; 0 if unknown.
    pub real_time: u64,
    /// Its devices.
    pub devices: Found,
}

/// What the command line says to the core (docs/boot-arguments.md).
#[derive(Debug, PartialEq, Eq)]
struct Options {
    init: String,
    quiet: bool,
    report: bool,
    arguments: Vec<String>,
}

impl Options {
    /// Words before a bare `--` are the kernel's, those behind it init's arguments.
    fn parse(line: &str) -> Options {
        let mut options = Options {
            init: String::from("/init"),
            quiet: false,
            report: false,
            arguments: Vec::new(),
        };
        let mut words = Words(line.as_bytes());
        for (word, quoted) in words.by_ref() {
            match word.as_str() {
                "--" if !quoted => break,
                "quiet" => options.quiet = true,
                "boot-report" => options.report = true,
                other => {
                    let path = other
                        .strip_prefix("init=")
                        .or_else(|| other.strip_prefix("rdinit="));
                    options.init = path.map_or(options.init, String::from);
                }
            }
        }
        options.arguments.extend(words.map(|(word, _)| word));
        options
    }
}

/// The words of a command line, and for each whether it was quoted.
struct Words<'a>(&'a [u8]);

impl Words<'_> {
    fn take(&mut self) -> Option<u8> {
        let (first, rest) = self.0.split_first()?;
        self.0 = rest;
        Some(*first)
    }

    /// What is left of a quoted word; within it a backslash takes the next byte as it is. A missing quote ends with the line.
    fn quoted(&mut self) -> Vec<u8> {
        let mut word = Vec::new();
        while let Some(byte) = self.take() {
            match byte {
                b'"' => break,
                b'\\' => word.extend(self.take()),
                byte => word.push(byte),
            }
        }
        word
    }
}

impl Iterator for Words<'_> {
    type Item = (String, bool);

    fn next(&mut self) -> Option<(String, bool)> {
        self.0 = self.0.trim_ascii_start();
        let quoted = *self.0.first()? == b'"';
        let word = if quoted {
            self.take();
            self.quoted()
        } else {
            let end = self
                .0
                .iter()
                .position(u8::is_ascii_whitespace)
                .unwrap_or(self.0.len());
            let (word, rest) = self.0.split_at_checked(end).unwrap_or((self.0, &[]));
            self.0 = rest;
            word.to_vec()
        };
        Some((String::from_utf8_lossy(&word).into_owned(), quoted))
    }
}

/// Why the kernel could not start its first program.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum BootError {
    /// Too little memory for the kernel's own tables.
    Memory,
    /// The first program could not be executed.
    Init(Errno),
}

impl fmt::Display for BootError {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            BootError::Memory => f.write_str("too little memory to start"),
            BootError::Init(errno) => {
                write!(
                    f,
                    "cannot run the first program ({errno}): is it in the initramfs, and static arm64?"
                )
            }
        }
    }
}

/// Makes the kernel and its first process. Every CPU then calls [`Kernel::run_cpu`].
///
/// # Errors
/// [`BootError`]; a broken initramfs is none: what could be unpacked is there, and the console says what was wrong.
pub fn boot(mut info: BootInfo) -> core::result::Result<&'static Kernel, BootError> {
    let options = Options::parse(info.command_line);
    let kernel: &'static Kernel = Box::leak(Box::new(make_kernel(&mut info)?));
    if !options.quiet {
        greet(kernel);
    }
    fill_names(kernel, &info).map_err(BootError::Init)?;
    start_init(kernel, &options).map_err(BootError::Init)?;
    let free = kernel.memory.frames.free() * PAGE_SIZE;
    kernel.log(Event::Init { free });
    if options.report {
        report(kernel, info.kernel_bytes);
    }
    Ok(kernel)
}

/// A kernel with no files and no processes yet.
pub(crate) fn make_kernel(info: &mut BootInfo) -> core::result::Result<Kernel, BootError> {
    let trampoline = MemoryObject::from_bytes(info.memory, &signal::TRAMPOLINE)
        .map_err(|_| BootError::Memory)?;
    let clock = Clock::new(info.machine.now(), info.real_time);
    Ok(Kernel {
        machine: info.machine,
        memory: info.memory,
        processes: ProcessTable::new(),
        scheduler: Scheduler::new(),
        names: Namespace::new(info.memory.frames.room(), clock.real(info.machine.now())),
        posix_queues: PosixQueues::new(clock.real(info.machine.now())),
        clock,
        console: Arc::new(Tty::new(info.machine)),
        epolls: Nesting::new(),
        futexes: FutexTable::new(),
        sockets: Arc::new(crate::ipc::unix::SocketNames::new()),
        sysv: SysV::new(),
        random: Random::new(info.seed),
        trampoline,
        devices: Devices::new(info.machine, core::mem::take(&mut info.devices)),
        command_line: info.command_line,
    })
}

/// Says who runs, and on what.
fn greet(kernel: &Kernel) {
    let mebibytes = (kernel.memory.frames.total() * PAGE_SIZE) >> 20;
    kernel.say(format_args!(
        "{}: {mebibytes} MiB\n",
        crate::version::VERSION
    ));
}

/// Says what the boot has cost: time in ns (instructions, under `-icount shift=0`) and memory.
fn report(kernel: &Kernel, kernel_bytes: usize) {
    let frames = &kernel.memory.frames;
    let used = (frames.total() - frames.free()) * PAGE_SIZE + kernel_bytes;
    let (now, kibibytes) = (kernel.machine.now().0, used >> 10);
    kernel.say(format_args!(
        "boot: init starts after {now} ns, {kibibytes} KiB in use\n"
    ));
}

/// Unpacks the initramfs, gives its frames to the pool, mounts what every system has.
fn fill_names(kernel: &'static Kernel, info: &BootInfo) -> crate::Result<()> {
    match info.initramfs {
        Some(archive) => {
            if let Err(bad) = initramfs::unpack(&kernel.names, kernel.memory, archive) {
                kernel.say(format_args!("halyard: {bad}\n"));
            }
            let bytes = archive.len();
            kernel.log(Event::Unpacked { bytes });
            kernel.memory.frames.give(info.initramfs_frames.clone());
        }
        None => kernel.say(format_args!(
            "halyard: no initramfs: the loader gave none\n"
        )),
    }
    mount::mount_standard(kernel)
}

/// Executes the first program with the console as its first three descriptors.
fn start_init(kernel: &'static Kernel, options: &Options) -> crate::Result<()> {
    let fs = Arc::new(FsContext::new(Arc::clone(kernel.names.root())));
    let credentials = Arc::new(Credentials::root());
    let mut argv = Strings::default();
    argv.push(options.init.as_bytes())?;
    for argument in &options.arguments {
        argv.push(argument.as_bytes())?;
    }
    let mut envp = Strings::default();
    for variable in ["HOME=/", "TERM=linux"] {
        envp.push(variable.as_bytes())?;
    }
    let image = image::load(
        kernel,
        &fs,
        &credentials,
        options.init.as_bytes(),
        argv,
        envp,
    )?;
    let files = Arc::new(DescriptorTable::new());
    open_console(kernel, &fs, &credentials, &files)?;
    let parts = Parts {
        space: Arc::clone(&image.space),
        files: Arc::clone(&files),
        fs,
        credentials,
        signals: ProcessSignals::default(),
        limits: Limits::default(),
    };
    let pid = kernel.processes.number()?;
    let process = Arc::new(Process::new(pid, parts));
    process.set_names(options.init.as_bytes(), image.command_line);
    let signals = ThreadSignals::default();
    let thread = Thread::new(kernel, Arc::clone(&process), pid, Policy::Fair(0), signals);
    let thread = Arc::new(thread);
    process.add_thread(Arc::clone(&thread))?;
    kernel.processes.add(process, 0);
    kernel.processes.add_thread(Arc::clone(&thread));
    let context = UserContext {
        regs: image.regs,
        ..UserContext::default()
    };
    let task = Box::new(Task::new(context, thread, image.space, files));
    kernel.scheduler.enqueue(kernel.machine, task);
    Ok(())
}

/// Descriptors 0, 1 and 2. Without /dev/console init starts with none, as on Linux.
fn open_console(
    kernel: &'static Kernel,
    fs: &FsContext,
    who: &Credentials,
    files: &DescriptorTable,
) -> crate::Result<()> {
    let walker = Walker {
        who,
        root: fs.root(),
        start: fs.root(),
    };
    let flags = OpenFlags::READ_WRITE.bits();
    let request = OpenRequest {
        walker,
        flags,
        permissions: 0,
        session: 0,
    };
    match open::open(kernel, &request, b"/dev/console".to_vec()) {
        Ok(Opened::Now(console)) => {
            for fd in 0..3 {
                files.insert(Arc::clone(&console), fd, DESCRIPTORS_MAX, false)?;
            }
        }
        Ok(Opened::Fifo(..)) | Err(_) => kernel.say(format_args!("halyard: no /dev/console\n")),
    }
    Ok(())
}

impl Kernel {
    /// Says something on the console, in plain text.
    pub fn say(&self, text: fmt::Arguments<'_>) {
        struct Console<'a>(&'a dyn Machine);
        impl fmt::Write for Console<'_> {
            fn write_str(&mut self, text: &str) -> fmt::Result {
                for line in text.split_inclusive('\n') {
                    match line.strip_suffix('\n') {
                        Some(line) => {
                            self.0.console_write(line.as_bytes());
                            self.0.console_write(b"\r\n");
                        }
                        None => self.0.console_write(line.as_bytes()),
                    }
                }
                Ok(())
            }
        }
        // A console cannot fail.
        let _ = fmt::Write::write_fmt(&mut Console(self.machine), text);
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn command_line_without_options_runs_slash_init() {
        let options = Options::parse("");
        assert_eq!(
            (options.init.as_str(), options.quiet, options.report),
            ("/init", false, false)
        );
        assert!(options.arguments.is_empty());
    }

    #[test]
    fn command_line_after_dashes_goes_to_init_with_quotes_off() {
        let options = Options::parse(r#"quiet init=/bin/sh x=1 -- -c "ls / | wc" last"#);
        assert_eq!((options.init.as_str(), options.quiet), ("/bin/sh", true));
        assert_eq!(options.arguments, ["-c", "ls / | wc", "last"]);
    }

    #[test]
    fn command_line_backslash_in_quotes_takes_the_next_byte() {
        assert_eq!(
            Options::parse(r#"-- "a \"b\" \\ c""#).arguments,
            [r#"a "b" \ c"#]
        );
    }

    #[test]
    fn command_line_quoted_dashes_and_empty_words_are_words() {
        assert_eq!(
            Options::parse(r#"-- "--" "" -- x"#).arguments,
            ["--", "", "--", "x"]
        );
    }

    #[test]
    fn command_line_with_open_quote_ends_the_word_with_the_line() {
        assert_eq!(Options::parse(r#"-- "ls x"#).arguments, ["ls x"]);
    }
}
