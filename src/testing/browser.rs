//! The browser: its cookie, and where it is sent.

use bytes::Bytes;
use http::header::{CACHE_CONTROL, COOKIE, HeaderValue, LOCATION, REFERRER_POLICY, SET_COOKIE};
use http::{Request, Response, StatusCode};

use super::pages::Pages;
use super::reply;
use super::state::State;

/// What the browser says that it is known by.
pub(super) fn cookie(issuer: &State, request: &Request<Bytes>) -> Option<String> {
    let name = name(issuer);
    let fields = request.headers().get_all(COOKIE).iter().filter_map(|field| field.to_str().ok());
    let mut pairs = fields.flat_map(|field| field.split(';')).filter_map(|pair| pair.trim().split_once('='));
    pairs.find(|(known, _)| *known == name).map(|(_, value)| value.to_owned())
}

/// The response, and what the browser is known by from here on. Not `Secure`: an issuer on loopback speaks plain HTTP.
pub(super) fn known_by(issuer: &State, value: &str, mut response: Response<Bytes>) -> Response<Bytes> {
    let path = issuer.addresses.cookie_path();
    let cookie = format!("{}={value}; Path={path}; HttpOnly; SameSite=Lax", name(issuer));
    if let Ok(cookie) = HeaderValue::try_from(cookie) {
        response.headers_mut().append(SET_COOKIE, cookie);
    }
    response
}

/// The response, and the browser is not known any more.
pub(super) fn forgotten(issuer: &State, mut response: Response<Bytes>) -> Response<Bytes> {
    let path = issuer.addresses.cookie_path();
    let cookie = format!("{}=; Path={path}; Max-Age=0; HttpOnly; SameSite=Lax", name(issuer));
    if let Ok(cookie) = HeaderValue::try_from(cookie) {
        response.headers_mut().append(SET_COOKIE, cookie);
    }
    response
}

/// Sends the browser there, by GET whatever it came by (RFC 9700 s4.12).
pub(super) fn sent_to(issuer: &State, url: &str) -> Response<Bytes> {
    let Ok(location) = HeaderValue::try_from(url) else {
        return Pages { issuer: &issuer.identifier }.error("The address cannot be sent in a header.");
    };
    let mut response = reply::plain(StatusCode::SEE_OTHER);
    let fixed = [
        (LOCATION, location),
        (CACHE_CONTROL, HeaderValue::from_static("no-store")),
        (REFERRER_POLICY, HeaderValue::from_static("no-referrer")),
    ];
    response.headers_mut().extend(fixed.map(|(name, value)| (Some(name), value)));
    response
}

/// A name of its own for each issuer: browsers give the cookies of one port to all others of the same host.
fn name(issuer: &State) -> String {
    let plain = |letter: char| if letter.is_ascii_alphanumeric() { letter } else { '-' };
    format!("session-{}", issuer.identifier.chars().map(plain).collect::<String>())
}
