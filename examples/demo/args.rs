//! The demo's command line.

use std::net::SocketAddr;
use std::path::PathBuf;

use crate::Failure;

const USAGE: &str = "usage: axum [--policy FILE] [--listen 127.0.0.1:3000] [--log-dir DIR]";

pub struct Args {
    pub policy: PathBuf,
    pub listen: SocketAddr,
    pub log_dir: Option<PathBuf>,
}

pub fn parse(mut words: impl Iterator<Item = String>) -> Result<Args, Failure> {
    let mut args = Args {
        policy: concat!(env!("CARGO_MANIFEST_DIR"), "/examples/imgs2.toml").into(),
        listen: SocketAddr::from(([127, 0, 0, 1], 3000)),
        log_dir: None,
    };
    while let Some(word) = words.next() {
        let mut value = || words.next().ok_or_else(|| format!("{word} needs a value\n{USAGE}"));
        match word.as_str() {
            "--policy" => args.policy = value()?.into(),
            "--log-dir" => args.log_dir = Some(value()?.into()),
            "--listen" => {
                let value = value()?;
                let address = || format!("--listen: expected an address and a port, found {value}");
                args.listen = value.parse().map_err(|_| address())?;
            }
            "-h" | "--help" => {
                println!("{USAGE}");
                std::process::exit(0);
            }
            _ => return Err(format!("unknown argument {word}\n{USAGE}").into()),
        }
    }
    Ok(args)
}
