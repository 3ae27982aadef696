//! The board's devices as files. What a board has not is skipped; what they do is the same on Linux.

use halyard_rt::firmware::{self, Firmware};
use halyard_rt::gpio::{ACTIVE_LOW, Chip, INPUT, OUTPUT};
use halyard_rt::i2c::Bus;
use halyard_rt::{nr, open, prelude::*, system};

use crate::runner::suite;
use crate::support::{Failure, Outcome, call, check, check_eq};

suite!(
    hwrng_reads_whole_and_differs_each_time,
    hwrng_to_a_bad_buffer_is_efault,
    i2c_read_of_an_absent_device_is_no_acknowledge,
    i2c_wrong_transactions_are_einval,
    i2c_address_beyond_seven_bits_is_einval,
    i2c_unknown_request_is_enotty,
    gpio_output_is_read_back,
    gpio_line_is_one_programs_at_a_time_and_given_back,
    gpio_wrong_requests_are_einval,
    gpio_input_is_not_set,
    mailbox_tells_revision_memory_and_clocks,
    mailbox_unknown_tag_has_no_answer,
    mailbox_wrong_questions_are_einval,
    watchdog_has_its_number,
);

const I2C_SLAVE: usize = 0x0703;
const I2C_FUNCS: usize = 0x0705;
const I2C_RDWR: usize = 0x0707;

/// The device, or the reason why it can't be tested.
fn device(path: &str, flags: u32) -> core::result::Result<Fd, Failure> {
    match fs::open_with(path, flags, 0) {
        Ok(device) => Ok(device),
        Err(errno @ (Errno::ENOENT | Errno::ENODEV | Errno::ENXIO)) => {
            Err(Failure::Skip(format!("{path}: {errno}")))
        }
        Err(errno) => Err(errno.into()),
    }
}

/// Linux has the file without a generator behind it too.
fn hwrng() -> core::result::Result<Fd, Failure> {
    let generator = device("/dev/hwrng", open::O_RDONLY)?;
    match io::read(&generator, &mut [0]) {
        Err(Errno::ENODEV) => Err(Failure::Skip("/dev/hwrng: no generator".into())),
        _ => Ok(generator),
    }
}

fn hwrng_reads_whole_and_differs_each_time() -> Outcome {
    let generator = hwrng()?;
    let mut first = [0; 256];
    let mut second = [0; 256];
    for bytes in [&mut first, &mut second] {
        let mut done = 0;
        while done < bytes.len() {
            let count = io::read(&generator, &mut bytes[done..])?;
            check!(count > 0);
            done += count;
        }
    }
    check!(first != second);
    let zeros = first.iter().filter(|byte| **byte == 0).count();
    check!(zeros < 32);
    Ok(())
}

fn hwrng_to_a_bad_buffer_is_efault() -> Outcome {
    let generator = hwrng()?;
    let read = call(nr::READ, [generator.fd() as usize, 8, 16]);
    check_eq!(read, Err(Errno::EFAULT));
    Ok(())
}

fn i2c() -> core::result::Result<Fd, Failure> {
    device("/dev/i2c-1", open::O_RDWR)
}

fn ioctl(bus: &Fd, request: usize, argument: usize) -> Result<usize> {
    call(nr::IOCTL, [bus.fd() as usize, request, argument])
}

fn i2c_read_of_an_absent_device_is_no_acknowledge() -> Outcome {
    let bus = i2c()?;
    check_eq!(ioctl(&bus, I2C_SLAVE, 0x21), Ok(0));
    let mut byte = [0];
    for _ in 0..2 {
        let refused = matches!(
            io::read(&bus, &mut byte),
            Err(Errno::ENXIO | Errno::EREMOTEIO)
        );
        check!(refused);
    }
    let written = io::write(&bus, &[0]);
    check!(matches!(written, Err(Errno::ENXIO | Errno::EREMOTEIO)));
    Ok(())
}

/// The argument of I2C_RDWR.
#[repr(C)]
struct Transfers(usize, u32);

fn i2c_wrong_transactions_are_einval() -> Outcome {
    let bus = i2c()?;
    let messages = [0_u64; 2];
    let at = messages.as_ptr().addr();
    for transfers in [Transfers(at, 0), Transfers(at, 43), Transfers(0, 1)] {
        let argument = (&raw const transfers).addr();
        check_eq!(ioctl(&bus, I2C_RDWR, argument), Err(Errno::EINVAL));
    }
    check_eq!(ioctl(&bus, I2C_RDWR, 8), Err(Errno::EFAULT));
    let transfers = Transfers(8, 1);
    let argument = (&raw const transfers).addr();
    check_eq!(ioctl(&bus, I2C_RDWR, argument), Err(Errno::EFAULT));
    Ok(())
}

fn i2c_address_beyond_seven_bits_is_einval() -> Outcome {
    let bus = i2c()?;
    for address in [0x80, 0x100, usize::MAX] {
        check_eq!(ioctl(&bus, I2C_SLAVE, address), Err(Errno::EINVAL));
    }
    Ok(())
}

fn i2c_unknown_request_is_enotty() -> Outcome {
    let bus = i2c()?;
    check_eq!(ioctl(&bus, 0x07ff, 0), Err(Errno::ENOTTY));
    let functions = [0_u64];
    check_eq!(ioctl(&bus, I2C_FUNCS, functions.as_ptr().addr()), Ok(0));
    check!(Bus::open(99).is_err());
    Ok(())
}

/// The controller, and a line of it on which nothing hangs that a test could harm: the last one of the header of the Raspberry Pis,
/// PH9 of a Pine64, or the last of the eight that virt has.
fn gpio() -> core::result::Result<(Chip, u32), Failure> {
    match Chip::open(0) {
        Ok(chip) => {
            let line = match chip.lines()? {
                8 => 7,
                256 => 233,
                _ => 27,
            };
            Ok((chip, line))
        }
        Err(errno) => Err(Failure::Skip(format!("/dev/gpiochip0: {errno}"))),
    }
}

fn gpio_output_is_read_back() -> Outcome {
    let (chip, line) = gpio()?;
    for (flags, raw) in [(OUTPUT, 0), (OUTPUT | ACTIVE_LOW, 1)] {
        let lines = chip.request(&[line], flags)?;
        for value in [0, 1, 0] {
            lines.set_values(1, value)?;
            check_eq!(lines.values(1), Ok(value));
        }
        drop(lines);
        // A line that is given back stays as it is.
        check_eq!(chip.request(&[line], 0)?.values(1), Ok(raw));
    }
    Ok(())
}

fn gpio_line_is_one_programs_at_a_time_and_given_back() -> Outcome {
    let (chip, line) = gpio()?;
    let lines = chip.request(&[line], INPUT)?;
    check_eq!(chip.request(&[line], INPUT).err(), Some(Errno::EBUSY));
    drop(lines);
    // Twice in one request is two programs' too, and nothing of it is kept.
    check_eq!(chip.request(&[line, line], INPUT).err(), Some(Errno::EBUSY));
    drop(chip.request(&[line], INPUT)?);
    Ok(())
}

fn gpio_wrong_requests_are_einval() -> Outcome {
    let (chip, line) = gpio()?;
    let beyond = chip.lines()?;
    let wrong: [(&[u32], u64); 4] = [
        (&[], INPUT),
        (&[beyond], INPUT),
        (&[line], INPUT | OUTPUT),
        (&[line], 1 << 40),
    ];
    for (lines, flags) in wrong {
        check_eq!(chip.request(lines, flags).err(), Some(Errno::EINVAL));
    }
    let lines = chip.request(&[line], INPUT)?;
    check_eq!(lines.values(0), Err(Errno::EINVAL));
    check_eq!(lines.values(2), Err(Errno::EINVAL));
    Ok(())
}

fn gpio_input_is_not_set() -> Outcome {
    let (chip, line) = gpio()?;
    let lines = chip.request(&[line], INPUT)?;
    check_eq!(lines.set_values(1, 1), Err(Errno::EPERM));
    Ok(())
}

fn mailbox() -> core::result::Result<Firmware, Failure> {
    match Firmware::open() {
        Ok(firmware) => Ok(firmware),
        Err(errno) => Err(Failure::Skip(format!("/dev/vcio: {errno}"))),
    }
}

fn mailbox_tells_revision_memory_and_clocks() -> Outcome {
    let firmware = mailbox()?;
    let [revision, _] = firmware.property(firmware::BOARD_REVISION, [0; 2])?;
    // Bit 23: the new style, in which bits 4 to 11 are the model: 3B is 8, 4B is 0x11.
    check!(revision & 1 << 23 != 0);
    check!(matches!(revision >> 4 & 0xff, 0x08 | 0x0d | 0x11));
    let [start, bytes] = firmware.property(firmware::ARM_MEMORY, [0; 2])?;
    let info = system::info()?;
    let known = info.total * u64::from(info.unit);
    check_eq!(start, 0);
    // The kernel's own image is in it too, and a Raspberry Pi 4 has more beyond what the firmware tells.
    check!(u64::from(bytes) > known / 4);
    for clock in [firmware::CLOCK_EMMC, firmware::CLOCK_ARM] {
        let [same, hertz] = firmware.property(firmware::CLOCK_RATE, [clock, 0])?;
        check_eq!(same, clock);
        check!(hertz > 1_000_000);
    }
    Ok(())
}

fn mailbox_unknown_tag_has_no_answer() -> Outcome {
    let answer = mailbox()?.property(0x0bad_0bad, [1, 2]);
    check!(matches!(answer, Err(Errno::ENODATA | Errno::EINVAL)));
    Ok(())
}

fn mailbox_wrong_questions_are_einval() -> Outcome {
    const PROPERTY: usize = 0xc008_6400;
    let mailbox = match fs::open_with("/dev/vcio", open::O_RDWR, 0) {
        Ok(mailbox) => mailbox,
        Err(errno) => return Err(Failure::Skip(format!("/dev/vcio: {errno}"))),
    };
    for size in [0_u32, 8, 13, 4096, u32::MAX] {
        let question = [size, 0, 0, 0, 0];
        let at = question.as_ptr().addr();
        check_eq!(ioctl(&mailbox, PROPERTY, at), Err(Errno::EINVAL));
    }
    check_eq!(ioctl(&mailbox, PROPERTY, 8), Err(Errno::EFAULT));
    check_eq!(ioctl(&mailbox, PROPERTY + 1, 8), Err(Errno::ENOTTY));
    Ok(())
}

/// Opening it would start it, and an emulator may reset the machine at once: that is for the tests that hold the other end.
fn watchdog_has_its_number() -> Outcome {
    match fs::metadata("/dev/watchdog") {
        Ok(watchdog) => check_eq!(watchdog.device_numbers(), (10, 130)),
        Err(errno) => return Err(Failure::Skip(format!("/dev/watchdog: {errno}"))),
    }
    Ok(())
}
