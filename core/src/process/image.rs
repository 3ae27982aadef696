//! A program being made ready to run: its address space, its first stack, its first registers.

use alloc::sync::Arc;
use alloc::vec::Vec;

use super::credentials::Credentials;
use super::elf::{self, Head, Plan};
use super::program::Program;
use crate::fs::inode::{Inode, Node, Want};
use crate::fs::path::{FsContext, Last, Walker};
use crate::kernel::Kernel;
use crate::machine::{Access, PAGE_SIZE, USER_END, UserAddr, UserRegs};
use crate::mm::{AddressSpace, Label, MemoryObject};
use crate::process::signal;
use crate::{Errno, Result};

/// The most bytes that arguments and environment may take together (execve(2), E2BIG).
const STRINGS_MAX: usize = 512 * 1024;
/// How far a `#!` may lead to another `#!`.
const SCRIPTS_MAX: usize = 4;
/// The longest first line of a script (execve(2)).
const LINE_MAX: usize = 256;
/// The greatest size of the stack.
const STACK_BYTES: usize = 8 << 20;
/// Room below the stack that stays unmapped.
const STACK_GAP: usize = 1 << 20;
/// The end of the stack, before the random offset. Above it is the page of the signal trampoline.
const STACK_END: usize = USER_END - 16 * PAGE_SIZE;

/// Strings with a NUL behind each.
#[derive(Clone, Debug, Default)]
pub struct Strings {
    bytes: Vec<u8>,
    count: usize,
}

impl Strings {
    /// Reads an array of addresses of strings, ended by 0; the address 0 is the empty array. E2BIG, EFAULT, ENOMEM.
    pub fn read(space: &Arc<AddressSpace>, array: UserAddr) -> Result<Strings> {
        let mut strings = Strings::default();
        let mut at = array;
        if array.0 == 0 {
            return Ok(strings);
        }
        loop {
            let string: u64 = space.read_user(at)?;
            if string == 0 {
                break;
            }
            let text = space
                .read_cstr(UserAddr(string as usize), STRINGS_MAX)
                .map_err(|errno| match errno {
                    Errno::ENAMETOOLONG => Errno::E2BIG,
                    errno => errno,
                })?;
            strings.push(&text)?;
            at = UserAddr(at.0.wrapping_add(8));
        }
        Ok(strings)
    }

    /// Adds a string. E2BIG, ENOMEM.
    pub fn push(&mut self, text: &[u8]) -> Result<()> {
        // Each string also costs its address on the stack.
        if self.bytes.len() + text.len() + (self.count + 1) * 8 >= STRINGS_MAX {
            return Err(Errno::E2BIG);
        }
        self.bytes
            .try_reserve(text.len() + 1)
            .map_err(|_| Errno::ENOMEM)?;
        self.bytes.extend_from_slice(text);
        self.bytes.push(0);
        self.count += 1;
        Ok(())
    }

    fn iter(&self) -> impl Iterator<Item = &[u8]> {
        self.bytes
            .split_inclusive(|byte| *byte == 0)
            .map(|text| text.strip_suffix(&[0]).unwrap_or(text))
    }
}

/// A program ready to run.
pub struct Image {
    /// Its memory.
    pub space: Arc<AddressSpace>,
    /// Its first registers.
    pub regs: UserRegs,
    /// Its arguments with a NUL behind each (/proc/PID/cmdline).
    pub command_line: Vec<u8>,
}

/// Who executes what, with which strings.
struct Request {
    path: Vec<u8>,
    argv: Strings,
    envp: Strings,
}

/// Makes the program at `path` ready. Errors of execve(2).
pub fn load(
    kernel: &'static Kernel,
    fs: &FsContext,
    who: &Credentials,
    path: &[u8],
    argv: Strings,
    envp: Strings,
) -> Result<Image> {
    let walker = Walker {
        who,
        root: fs.root(),
        start: fs.current(),
    };
    let mut request = Request {
        path: path.to_vec(),
        argv,
        envp,
    };
    for _ in 0..=SCRIPTS_MAX {
        let inode = walker.find(request.path.clone(), Last::Follow)?;
        let file = executable(&inode, who)?;
        let mut first = [0u8; LINE_MAX];
        let got = file.read_at(&mut first.as_mut_slice(), 0)?;
        let first = first.get(..got).unwrap_or_default();
        match first.strip_prefix(b"#!") {
            Some(line) => request = script(request, line)?,
            None => {
                let program = Program::read(file, first)?;
                return load_elf(kernel, &walker, &program, request);
            }
        }
    }
    Err(Errno::ELOOP)
}

fn executable(inode: &Inode, who: &Credentials) -> Result<Arc<MemoryObject>> {
    let Node::Regular(file) = &inode.node else {
        return Err(Errno::EACCES);
    };
    inode.check(who, Want::EXECUTE)?;
    Ok(Arc::clone(file))
}

/// What to execute for a script whose first line, behind `#!`, is `line`: the interpreter, its one argument if there is one,
/// the script, and the script's arguments but the first. ENOEXEC: no interpreter.
fn script(request: Request, line: &[u8]) -> Result<Request> {
    let end = line
        .iter()
        .position(|byte| *byte == b'\n')
        .unwrap_or(line.len());
    let line = line.get(..end).unwrap_or_default().trim_ascii();
    let cut = line
        .iter()
        .position(|byte| byte.is_ascii_whitespace())
        .unwrap_or(line.len());
    let (interpreter, argument) = line.split_at_checked(cut).ok_or(Errno::ENOEXEC)?;
    if interpreter.is_empty() {
        return Err(Errno::ENOEXEC);
    }
    let mut argv = Strings::default();
    argv.push(interpreter)?;
    if !argument.trim_ascii().is_empty() {
        argv.push(argument.trim_ascii())?;
    }
    argv.push(&request.path)?;
    for text in request.argv.iter().skip(1) {
        argv.push(text)?;
    }
    Ok(Request {
        path: interpreter.to_vec(),
        argv,
        envp: request.envp,
    })
}

fn load_elf(
    kernel: &'static Kernel,
    walker: &Walker<'_>,
    program: &Program,
    request: Request,
) -> Result<Image> {
    let interpreter = find_interpreter(walker, program)?;
    let mut random = [0u8; 32];
    kernel.random.fill(&mut random);
    let space = AddressSpace::new(kernel.memory)?;
    let base = base_address(&program.head, &program.plan, &random)?;
    program.map(&space, base)?;
    let (_, end) = program.plan.span();
    space.set_heap_start(UserAddr(base + end + random_pages(&random, 6, 0xfff)));
    let stack_end = STACK_END - random_pages(&random, 2, 0x3fff) - (usize::from(random[4]) & 0xf0);
    let mut top = map_stack(&space, stack_end)? - random_pages(&random, 8, 0xffff);
    let mut start = base + program.head.entry;
    let mut interpreter_base = 0;
    if let Some(interpreter) = &interpreter {
        interpreter_base = base_below(top, interpreter)?;
        interpreter.map(&space, interpreter_base)?;
        start = interpreter_base + interpreter.head.entry;
        top = top.min(interpreter_base);
    }
    space.set_top(UserAddr(top));
    map_trampoline(kernel, &space)?;
    let facts = Facts {
        program,
        base,
        interpreter_base,
        who: walker.who,
        random: &random,
    };
    let sp = build_stack(&space, stack_end, &request, &facts)?;
    let regs = UserRegs {
        sp: sp as u64,
        pc: start as u64,
        ..UserRegs::default()
    };
    Ok(Image {
        space,
        regs,
        command_line: request.argv.bytes,
    })
}

/// The interpreter that `program` asks for. Errors of finding and executing a file; ELIBBAD: it is no ELF file for this machine.
fn find_interpreter(walker: &Walker<'_>, program: &Program) -> Result<Option<Program>> {
    let Some(path) = program.interpreter()? else {
        return Ok(None);
    };
    let inode = walker.find(path, Last::Follow)?;
    let file = executable(&inode, walker.who)?;
    let mut first = [0u8; elf::HEADER_BYTES];
    let got = file.read_at(&mut first.as_mut_slice(), 0)?;
    let read = Program::read(file, first.get(..got).unwrap_or_default());
    read.map(Some).map_err(|errno| match errno {
        Errno::ENOEXEC => Errno::ELIBBAD,
        errno => errno,
    })
}

/// Where an interpreter goes: right below `top`, unless it says itself where it wants to be. ENOMEM: it is too large.
fn base_below(top: usize, interpreter: &Program) -> Result<usize> {
    if !interpreter.head.relocatable {
        return Ok(0);
    }
    let (_, end) = interpreter.plan.span();
    top.checked_sub(end)
        .filter(|base| *base > elf::DYNAMIC_BASE + (1 << 32))
        .ok_or(Errno::ENOMEM)
}

/// Maps the stack that ends at `end`. Returns the end of what may be mapped below it: between the two lies room that nobody has, so
/// that a stack that overflows meets a fault.
fn map_stack(space: &Arc<AddressSpace>, end: usize) -> Result<usize> {
    let top = (end & !(PAGE_SIZE - 1)) + PAGE_SIZE;
    let start = top - STACK_BYTES;
    let access = Access::READ | Access::WRITE;
    space.map_anonymous(UserAddr(start), STACK_BYTES, access, Label::Stack)?;
    Ok(start - STACK_GAP)
}

fn map_trampoline(kernel: &Kernel, space: &Arc<AddressSpace>) -> Result<()> {
    let (at, code) = (signal::TRAMPOLINE_AT, Access::READ | Access::EXECUTE);
    space.map_private(at, PAGE_SIZE, code, &kernel.trampoline, 0)
}

/// A random number of bytes, in pages, from the bytes of `random` at `from`.
fn random_pages(random: &[u8; 32], from: usize, mask: usize) -> usize {
    let low = random
        .get(from..from + 2)
        .and_then(|pair| pair.try_into().ok())
        .map_or(0, u16::from_le_bytes);
    (usize::from(low) & mask) * PAGE_SIZE
}

/// What is added to the addresses of the file: 0 unless it may be put anywhere.
fn base_address(head: &Head, plan: &Plan, random: &[u8; 32]) -> Result<usize> {
    if !head.relocatable {
        return Ok(0);
    }
    let base = elf::DYNAMIC_BASE + random_pages(random, 0, 0xffff);
    let (_, end) = plan.span();
    if base
        .checked_add(end)
        .is_some_and(|end| end < STACK_END - (1 << 32))
    {
        Ok(base)
    } else {
        Err(Errno::ENOEXEC)
    }
}

/// What the auxiliary vector tells.
struct Facts<'a> {
    program: &'a Program,
    base: usize,
    /// 0: it has no interpreter.
    interpreter_base: usize,
    who: &'a Credentials,
    random: &'a [u8; 32],
}

/// Builds the first stack below `end`: strings, sixteen random bytes, then from SP up the count, the addresses of arguments
/// and environment, and the auxiliary vector, as the AAPCS64 start-up code of C libraries expects. Returns SP.
fn build_stack(
    space: &Arc<AddressSpace>,
    end: usize,
    request: &Request,
    facts: &Facts<'_>,
) -> Result<usize> {
    let mut at = end & !15;
    let mut place = |bytes: &[u8]| -> Result<usize> {
        at -= bytes.len();
        space.write_bytes(UserAddr(at), bytes)?;
        Ok(at)
    };
    let mut name = request.path.clone();
    name.push(0);
    let name_at = place(&name)?;
    let envp_at = place(&request.envp.bytes)?;
    let argv_at = place(&request.argv.bytes)?;
    let random_at = place(facts.random.get(16..).unwrap_or_default())?;
    let mut words: Vec<u64> = Vec::new();
    let auxiliary = auxiliary(facts, name_at, random_at);
    let count = 3 + request.argv.count + request.envp.count + auxiliary.len() * 2;
    words.try_reserve_exact(count).map_err(|_| Errno::ENOMEM)?;
    words.push(request.argv.count as u64);
    for (strings, first) in [(&request.argv, argv_at), (&request.envp, envp_at)] {
        let mut address = first as u64;
        for text in strings.iter() {
            words.push(address);
            address += text.len() as u64 + 1;
        }
        words.push(0);
    }
    words.extend(auxiliary.iter().flatten());
    let sp = (at - words.len() * 8) & !15;
    space.write_bytes(
        UserAddr(sp),
        zerocopy::IntoBytes::as_bytes(words.as_slice()),
    )?;
    Ok(sp)
}

/// The auxiliary vector (getauxval(3)): pairs of type and value.
fn auxiliary(facts: &Facts<'_>, name_at: usize, random_at: usize) -> [[u64; 2]; 16] {
    const HWCAP_FP: u64 = 1;
    const HWCAP_ASIMD: u64 = 2;
    let who = facts.who;
    let (head, plan) = (&facts.program.head, &facts.program.plan);
    let headers = plan.headers.map_or(0, |headers| facts.base + headers);
    let secure = who.uid != who.euid || who.gid != who.egid;
    [
        [3, headers as u64],                   // AT_PHDR
        [4, elf::SEGMENT_BYTES as u64],        // AT_PHENT
        [5, head.segments as u64],             // AT_PHNUM
        [6, PAGE_SIZE as u64],                 // AT_PAGESZ
        [7, facts.interpreter_base as u64],    // AT_BASE
        [8, 0],                                // AT_FLAGS
        [9, (facts.base + head.entry) as u64], // AT_ENTRY
        [11, u64::from(who.uid)],              // AT_UID
        [12, u64::from(who.euid)],             // AT_EUID
        [13, u64::from(who.gid)],              // AT_GID
        [14, u64::from(who.egid)],             // AT_EGID
        [16, HWCAP_FP | HWCAP_ASIMD],          // AT_HWCAP
        [23, u64::from(secure)],               // AT_SECURE
        [25, random_at as u64],                // AT_RANDOM
        [31, name_at as u64],                  // AT_EXECFN
        [0, 0],                                // AT_NULL
    ]
}
