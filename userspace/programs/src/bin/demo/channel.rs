//! A channel leads to a server: a call takes up to eight words there in registers, and comes back with the reply. The badge says by
//! which end the call came, so a server knows its clients without believing what they say.

use halyard_rt::channel::{Message, Request, Server};
use halyard_rt::prelude::*;

/// A bank: the badge is the account, the word what is paid in.
fn serve(server: &Server) -> Result<()> {
    let mut accounts = [0u64; 3];
    let mut request: Request = server.receive()?;
    loop {
        let paid = request.message.words().first().copied();
        let balance = match (accounts.get_mut(request.badge as usize), paid) {
            (Some(account), Some(paid)) => {
                *account += paid;
                *account
            }
            _ => return server.reply(&Message::default(), None),
        };
        // One trap: the reply leaves, and the next call comes in.
        request = server.reply_receive(&Message::new(&[balance]))?;
    }
}

pub(crate) fn run() -> Result<()> {
    let server = Server::new()?;
    let bank = process::spawn(|| i32::from(serve(&server).is_err()))?;
    // Ends with badges: whoever has one can pay into that account, and into no other.
    let mut payers = Vec::new();
    for account in 0..3u64 {
        let client = server.client(account)?;
        payers.push(process::spawn(|| {
            for amount in 1..=3 {
                match client.call(&Message::new(&[amount]), None) {
                    Ok(reply) => println!("account {account}: {:?}", reply.words()),
                    Err(errno) => println!("account {account}: {errno}"),
                }
            }
            0
        })?);
    }
    for payer in payers {
        process::wait_pid(payer)?;
    }
    // A message without a word closes the bank. From then on nobody serves.
    let last = server.client(0)?;
    last.call(&Message::default(), None)?;
    process::wait_pid(bank)?;
    drop(server);
    match last.call(&Message::new(&[1]), None) {
        Err(errno) => println!("after closing time: {errno}"),
        Ok(_) => println!("after closing time: served?"),
    }
    Ok(())
}
