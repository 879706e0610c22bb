//! What is printed.

use std::io::{self, Write};

use scopegate::Profile;

use crate::Failure;
use crate::arguments::{HELP, Server};
use crate::demo::Demo;
use crate::paint::Paint;

pub(crate) fn help() -> Result<(), Failure> {
    io::stdout().write_all(HELP.as_bytes())?;
    Ok(())
}

/// The screen of the API with its own issuer: addresses, tokens, and commands to paste.
pub(crate) fn demo(demo: &Demo) -> Result<(), Failure> {
    let paint = Paint::for_stdout();
    let url = &demo.url;
    let mut out = io::stdout().lock();
    writeln!(out, "{}    {url}", paint.bold("API"))?;
    for (route, needs) in ROUTES {
        writeln!(out, "       {route:<14} {}", paint.faint(needs))?;
    }
    writeln!(out, "{} {}", paint.bold("issuer"), demo.issuer.id())?;
    writeln!(out, "       {:<14} {}", "keys", demo.issuer.jwks_uri())?;
    writeln!(out, "       {:<14} {}\n", "tokens", demo.issuer.token_endpoint())?;

    writeln!(
        out,
        "{}",
        paint.bold("Paste these tokens into a shell. READ carries things:read, WRITE things:write as well.")
    )?;
    writeln!(
        out,
        "{}",
        paint.faint("Both are good for an hour. EXPIRED is as WRITE was, five minutes after its end.")
    )?;
    for (name, token) in [
        ("READ", demo.token("things:read")),
        ("WRITE", demo.token("things:read things:write")),
        ("EXPIRED", demo.token("things:read things:write").expired()),
    ] {
        writeln!(out, "{}={}", paint.bold(name), paint.faint(&token.mint()))?;
    }

    writeln!(out, "\n{}", paint.bold("Then try them:"))?;
    let bearer = |name: &str| format!("-H \"Authorization: Bearer ${name}\" ");
    for (status, meaning, command) in [
        ("200", "the scope is enough", format!("curl -i {}{url}/things", bearer("READ"))),
        ("403", "the scope is too little", format!("curl -i -X POST {}{url}/things", bearer("READ"))),
        ("201", "the scope is enough", format!("curl -i -X POST {}{url}/things", bearer("WRITE"))),
        ("401", "the token has expired", format!("curl -i {}{url}/things", bearer("EXPIRED"))),
        ("401", "there is no token", format!("curl -i {url}/things")),
        ("200", "what the token says", format!("curl -i {}{url}/me", bearer("WRITE"))),
    ] {
        let status = if status.starts_with('2') { paint.good(status) } else { paint.bad(status) };
        writeln!(out, "  {status} {}\n    {}", paint.faint(meaning), paint.command(&command))?;
    }
    let ask = "curl -s -u demo:demo -d grant_type=client_credentials -d scope=things:read";
    let ask = format!("{ask} {}", demo.issuer.token_endpoint());
    writeln!(out, "  {}\n    {}", paint.faint("a fresh token from the issuer"), paint.command(&ask))?;
    stop(&mut out, &paint)
}

/// The screen of the API with a real issuer.
pub(crate) fn real(url: &str, server: &Server) -> Result<(), Failure> {
    let paint = Paint::for_stdout();
    let profile = match server.profile {
        Profile::PlainJwt => "plain JWTs",
        _ => "RFC 9068",
    };
    let mut out = io::stdout().lock();
    writeln!(out, "{}      {url}", paint.bold("API"))?;
    for (route, needs) in ROUTES {
        writeln!(out, "         {route:<14} {}", paint.faint(needs))?;
    }
    writeln!(out, "{}   {}", paint.bold("issuer"), server.issuer)?;
    if let Some(also) = &server.also {
        writeln!(out, "         {also}")?;
    }
    if let Some(asking) = &server.asking {
        writeln!(out, "{}    {}", paint.bold("asked"), asking.place())?;
    }
    writeln!(out, "{} {}", paint.bold("audience"), server.audience)?;
    writeln!(out, "{}  {profile}\n", paint.bold("profile"))?;
    let command = format!("curl -i -H \"Authorization: Bearer $TOKEN\" {url}/things");
    writeln!(out, "{}\n    {}", paint.bold("With a token of the issuer in TOKEN:"), paint.command(&command))?;
    stop(&mut out, &paint)
}

fn stop(out: &mut impl Write, paint: &Paint) -> Result<(), Failure> {
    writeln!(out, "\n{}", paint.faint("Ctrl-C stops it."))?;
    out.flush()?;
    Ok(())
}

const ROUTES: [(&str, &str); 4] = [
    ("GET  /health", "open"),
    ("GET  /things", "needs things:read"),
    ("POST /things", "needs things:write"),
    ("GET  /me", "needs any accepted token"),
];
