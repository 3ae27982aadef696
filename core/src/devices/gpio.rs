//! /dev/gpiochipN: lines of a controller, by the calls of Linux (Documentation/userspace-api/gpio of Linux, version 2 of its ABI).
//!
//! Lines are asked for at the chip's file, by one program at a time; the answer is a file of their own, by which they are read and
//! driven, and with which they are given back as they are.

use alloc::boxed::Box;
use alloc::sync::Arc;
use alloc::vec::Vec;

use halyard_cell::SpinLock;
use halyard_device::{Function, GpioChip};
use zerocopy::{FromBytes, Immutable, IntoBytes};

use crate::fs::file::{File, Special};
use crate::fs::inode::Inode;
use crate::fs::open_file::{OpenFile, OpenFlags};
use crate::machine::UserAddr;
use crate::syscall::{Answer, Call, DONE};
use crate::{Errno, Result};

/// Lines of one request.
const LINES_MAX: usize = 64;
const ATTRIBUTES_MAX: usize = 10;

const GET_CHIPINFO: u32 = 0x8044_b401;
const GET_LINEINFO: u32 = 0xc100_b405;
const GET_LINE: u32 = 0xc250_b407;
const SET_CONFIG: u32 = 0xc110_b40d;
const GET_VALUES: u32 = 0xc010_b40e;
const SET_VALUES: u32 = 0xc010_b40f;

const USED: u64 = 1;
const ACTIVE_LOW: u64 = 1 << 1;
const INPUT: u64 = 1 << 2;
const OUTPUT: u64 = 1 << 3;
/// Edges, kinds of drive, pulls, clocks: what Linux knows and this does not.
const FOREIGN: u64 = 0x1ff0;

const ATTRIBUTE_FLAGS: u32 = 1;
const ATTRIBUTE_VALUES: u32 = 2;
const ATTRIBUTE_DEBOUNCE: u32 = 3;

type Name = [u8; 32];

/// struct gpiochip_info.
#[derive(Immutable, IntoBytes)]
#[repr(C)]
struct ChipInfo {
    name: Name,
    label: Name,
    lines: u32,
}

/// struct gpio_v2_line_config_attribute, its struct gpio_v2_line_attribute in it.
#[derive(Clone, Copy, FromBytes, Immutable, IntoBytes)]
#[repr(C)]
struct Attribute {
    id: u32,
    padding: u32,
    value: u64,
    /// Which of the lines it is for.
    mask: u64,
}

/// struct gpio_v2_line_config.
#[derive(FromBytes, Immutable, IntoBytes)]
#[repr(C)]
struct Config {
    flags: u64,
    count: u32,
    padding: [u32; 5],
    attributes: [Attribute; ATTRIBUTES_MAX],
}

/// struct gpio_v2_line_request.
#[derive(FromBytes, Immutable, IntoBytes)]
#[repr(C)]
struct Request {
    offsets: [u32; LINES_MAX],
    consumer: Name,
    config: Config,
    count: u32,
    event_buffer: u32,
    padding: [u32; 5],
    fd: i32,
}

/// struct gpio_v2_line_info. Of the attributes none is ever told.
#[derive(FromBytes, Immutable, IntoBytes)]
#[repr(C)]
struct LineInfo {
    name: Name,
    consumer: Name,
    offset: u32,
    count: u32,
    flags: u64,
    attributes: [u64; 2 * ATTRIBUTES_MAX],
    padding: [u32; 4],
}

/// struct gpio_v2_line_values.
#[derive(FromBytes, Immutable, IntoBytes)]
#[repr(C)]
struct Values {
    bits: u64,
    mask: u64,
}

const _: () = assert!(size_of::<ChipInfo>() == 68 && size_of::<Config>() == 272);
const _: () = assert!(size_of::<Request>() == 592 && size_of::<LineInfo>() == 256);

/// A controller.
pub struct Chip {
    /// Its number: that of its name.
    pub number: u32,
    state: SpinLock<State>,
}

struct State {
    driver: Box<dyn GpioChip>,
    /// Who has each line.
    users: Vec<Option<User>>,
}

/// Who has a line.
#[derive(Clone, Copy)]
struct User {
    /// What the program says of itself.
    name: Name,
    /// The line is low when the program says that it is active.
    active_low: bool,
}

impl State {
    fn user(&self, line: u32) -> Option<&User> {
        self.users.get(line as usize)?.as_ref()
    }

    fn is_active_low(&self, line: u32) -> bool {
        self.user(line).is_some_and(|user| user.active_low)
    }
}

impl Chip {
    pub(super) fn new(number: u32, driver: Box<dyn GpioChip>) -> Self {
        let users = (0..driver.lines()).map(|_| None).collect();
        let state = State { driver, users };
        Chip {
            number,
            state: SpinLock::new(state),
        }
    }

    fn info(&self) -> ChipInfo {
        let state = self.state.lock();
        let mut chip = name(b"gpiochip");
        let digits = [(self.number / 10 % 10) as u8, (self.number % 10) as u8];
        let digits = digits.map(|digit| b'0' + digit);
        let digits = digits.get(usize::from(self.number < 10)..);
        let rest = chip.iter_mut().skip(b"gpiochip".len());
        rest.zip(digits.unwrap_or_default())
            .for_each(|(to, digit)| *to = *digit);
        ChipInfo {
            name: chip,
            label: name(state.driver.label().as_bytes()),
            lines: state.driver.lines(),
        }
    }

    /// EINVAL: no such line.
    fn line_info(&self, line: u32) -> Result<LineInfo> {
        let state = self.state.lock();
        if line >= state.driver.lines() {
            return Err(Errno::EINVAL);
        }
        let user = state.user(line);
        let direction = match state.driver.function(line) {
            Function::Input => INPUT,
            Function::Output => OUTPUT,
            Function::Other => USED | INPUT,
        };
        let low = if state.is_active_low(line) {
            ACTIVE_LOW
        } else {
            0
        };
        Ok(LineInfo {
            name: [0; 32],
            consumer: user.map_or([0; 32], |user| user.name),
            offset: line,
            count: 0,
            flags: direction | low | if user.is_some() { USED } else { 0 },
            attributes: [0; 2 * ATTRIBUTES_MAX],
            padding: [0; 4],
        })
    }

    /// Gives these lines to a program. EINVAL: there is no such line; EBUSY: a program has one, or a device of the board.
    fn claim(self: &Arc<Self>, lines: &[u32], consumer: Name) -> Result<Lines> {
        let mut held = Vec::new();
        held.try_reserve_exact(lines.len())
            .map_err(|_| Errno::ENOMEM)?;
        let mut claimed = Lines {
            chip: Arc::clone(self),
            lines: held,
        };
        for &line in lines {
            let mut state = self.state.lock();
            if line >= state.driver.lines() {
                return Err(Errno::EINVAL);
            }
            let is_taken = state.driver.function(line) == Function::Other;
            let user = state.users.get_mut(line as usize).ok_or(Errno::EINVAL)?;
            if is_taken || user.is_some() {
                return Err(Errno::EBUSY);
            }
            *user = Some(User {
                name: consumer,
                active_low: false,
            });
            // There is room: it was reserved.
            claimed.lines.push(line);
        }
        Ok(claimed)
    }
}

/// A text as a name, cut where there is no more room.
fn name(text: &[u8]) -> Name {
    let mut name = [0; 32];
    // The last byte stays zero.
    let room = name.iter_mut().take(31);
    room.zip(text).for_each(|(to, from)| *to = *from);
    name
}

/// Lines that a program has.
pub struct Lines {
    chip: Arc<Chip>,
    lines: Vec<u32>,
}

impl Drop for Lines {
    fn drop(&mut self) {
        let mut state = self.chip.state.lock();
        for &line in &self.lines {
            if let Some(user) = state.users.get_mut(line as usize) {
                *user = None;
            }
        }
    }
}

impl Config {
    /// What each attribute of that kind says of line `index` of a request: the first that is for it.
    fn attribute(&self, id: u32, index: usize) -> Option<u64> {
        let attributes = self.attributes.iter().take(self.count as usize);
        let mut its = attributes.filter(|attribute| attribute.id == id);
        its.find(|attribute| attribute.mask >> index & 1 != 0)
            .map(|attribute| attribute.value)
    }

    fn flags(&self, index: usize) -> u64 {
        self.attribute(ATTRIBUTE_FLAGS, index).unwrap_or(self.flags)
    }

    /// Whether line `index` is to begin active.
    fn value(&self, index: usize) -> bool {
        self.attribute(ATTRIBUTE_VALUES, index)
            .is_some_and(|values| values >> index & 1 != 0)
    }

    /// EINVAL: it contradicts itself, or says what nobody knows; EOPNOTSUPP: what Linux knows and this does not.
    fn check(&self, lines: usize) -> Result<()> {
        if self.count as usize > ATTRIBUTES_MAX || self.padding != [0; 5] {
            return Err(Errno::EINVAL);
        }
        for attribute in self.attributes.iter().take(self.count as usize) {
            match attribute.id {
                ATTRIBUTE_FLAGS | ATTRIBUTE_VALUES if attribute.padding == 0 => {}
                ATTRIBUTE_DEBOUNCE => return Err(Errno::EOPNOTSUPP),
                _ => return Err(Errno::EINVAL),
            }
        }
        for index in 0..lines {
            let flags = self.flags(index);
            if flags & !(ACTIVE_LOW | INPUT | OUTPUT | FOREIGN) != 0
                || flags & (INPUT | OUTPUT) == INPUT | OUTPUT
            {
                return Err(Errno::EINVAL);
            }
            if flags & FOREIGN != 0 {
                return Err(Errno::EOPNOTSUPP);
            }
        }
        Ok(())
    }
}

impl Lines {
    /// Makes the lines what the program wants; `config` was checked. A line of which it says no direction keeps its own.
    fn configure(&self, config: &Config) {
        let mut state = self.chip.state.lock();
        for (index, &line) in self.lines.iter().enumerate() {
            let flags = config.flags(index);
            let low = flags & ACTIVE_LOW != 0;
            if let Some(Some(user)) = state.users.get_mut(line as usize) {
                user.active_low = low;
            }
            if flags & OUTPUT != 0 {
                state.driver.output(line, config.value(index) != low);
            } else if flags & INPUT != 0 {
                state.driver.input(line);
            }
        }
    }

    /// Those of the lines that are in `mask`, by their places in the request. EINVAL: none is.
    fn chosen(&self, mask: u64) -> Result<impl Iterator<Item = (usize, u32)> + '_> {
        let chosen = move |(index, _): &(usize, &u32)| mask >> index & 1 != 0;
        let lines = self.lines.iter().enumerate().filter(chosen);
        if lines.clone().next().is_none() {
            return Err(Errno::EINVAL);
        }
        Ok(lines.map(|(index, line)| (index, *line)))
    }

    fn values(&self, mask: u64) -> Result<u64> {
        let state = self.chip.state.lock();
        let active = |line: u32| state.driver.is_high(line) != state.is_active_low(line);
        let bits = self.chosen(mask)?;
        Ok(bits.fold(0, |bits, (index, line)| {
            bits | u64::from(active(line)) << index
        }))
    }

    /// EINVAL: none is chosen; EPERM: one is no output.
    fn set_values(&self, values: &Values) -> Result<()> {
        let mut state = self.chip.state.lock();
        for (_, line) in self.chosen(values.mask)? {
            if state.driver.function(line) != Function::Output {
                return Err(Errno::EPERM);
            }
        }
        for (index, line) in self.chosen(values.mask)? {
            let low = state.is_active_low(line);
            state
                .driver
                .set(line, (values.bits >> index & 1 != 0) != low);
        }
        Ok(())
    }
}

/// A chip, opened.
pub(super) struct ChipFile {
    chip: Arc<Chip>,
    inode: Arc<Inode>,
}

impl ChipFile {
    pub(super) fn new(chip: &Arc<Chip>, inode: Arc<Inode>) -> Self {
        ChipFile {
            chip: Arc::clone(chip),
            inode,
        }
    }
}

impl File for ChipFile {
    fn special(&self) -> Special<'_> {
        Special::GpioChip(&self.chip)
    }

    fn inode(&self) -> Option<&Arc<Inode>> {
        Some(&self.inode)
    }
}

impl File for Lines {
    fn special(&self) -> Special<'_> {
        Special::GpioLines(self)
    }
}

/// What programs ask of a chip. ENOTTY: it means nothing to one.
pub(crate) fn chip_ioctl(call: &mut Call<'_>, chip: &Arc<Chip>, request: u32) -> Answer {
    let at = call.addr::<2>();
    match request {
        GET_CHIPINFO => call.space().write_user(at, &chip.info())?,
        GET_LINEINFO => {
            let asked: LineInfo = call.space().read_user(at)?;
            if asked.padding != [0; 4] {
                return Err(Errno::EINVAL);
            }
            call.space()
                .write_user(at, &chip.line_info(asked.offset)?)?;
        }
        GET_LINE => give_lines(call, chip, at)?,
        _ => return Err(Errno::ENOTTY),
    }
    DONE
}

/// GPIO_V2_GET_LINE. EINVAL, EBUSY, EOPNOTSUPP, and what a new descriptor may fail with.
fn give_lines(call: &mut Call<'_>, chip: &Arc<Chip>, at: UserAddr) -> Result<()> {
    let mut request: Request = call.space().read_user(at)?;
    let lines = request.offsets.get(..request.count as usize);
    let lines = lines.filter(|lines| !lines.is_empty());
    let lines = lines.ok_or(Errno::EINVAL)?;
    if request.padding != [0; 5] {
        return Err(Errno::EINVAL);
    }
    request.config.check(lines.len())?;
    let claimed = chip.claim(lines, name(&request.consumer))?;
    claimed.configure(&request.config);
    let file = OpenFile::new(Arc::new(claimed), OpenFlags::empty())?;
    let limit = call.descriptor_limit();
    request.fd = call.files().insert(file, 0, limit, true)?;
    let told = call.space().write_user(at, &request);
    if told.is_err() {
        call.files().close(request.fd)?;
    }
    told
}

/// What programs ask of their lines. ENOTTY: it means nothing to them.
pub(crate) fn lines_ioctl(call: &mut Call<'_>, lines: &Lines, request: u32) -> Answer {
    let at = call.addr::<2>();
    match request {
        GET_VALUES => {
            let mut values: Values = call.space().read_user(at)?;
            values.bits = lines.values(values.mask)?;
            call.space().write_user(at, &values)?;
        }
        SET_VALUES => lines.set_values(&call.space().read_user(at)?)?,
        SET_CONFIG => {
            let config: Config = call.space().read_user(at)?;
            config.check(lines.lines.len())?;
            lines.configure(&config);
        }
        _ => return Err(Errno::ENOTTY),
    }
    DONE
}
