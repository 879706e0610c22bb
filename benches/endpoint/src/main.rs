//! An endpoint on one core, and the keys and tokens for it and for those beside it. `run` beside the manifest starts it.
//!
//! ```text
//! scopegate-endpoint mint DIR                                        keys and tokens into files of DIR
//! scopegate-endpoint serve unguarded|remembering|forgetful PORT DIR  serves until its standard input ends
//! ```

#![expect(clippy::disallowed_methods, reason = "a benchmark reads the time")]

#[path = "../../measure/mod.rs"]
mod measure;
mod mint;
mod serve;

use std::path::Path;

fn main() {
    let arguments: Vec<String> = std::env::args().skip(1).collect();
    match arguments.iter().map(String::as_str).collect::<Vec<_>>().as_slice() {
        ["mint", folder] => mint::into(Path::new(folder)),
        ["serve", guard, port, folder] => serve::until_told(guard, port.parse().expect("a port"), Path::new(folder)),
        _ => {
            eprintln!("usage: scopegate-endpoint mint DIR | serve unguarded|remembering|forgetful PORT DIR");
            std::process::exit(2);
        }
    }
}
