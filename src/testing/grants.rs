//! What was granted: codes, and the tokens that came of them.

use std::collections::HashMap;

use super::request::{Asked, Claims};

/// Everything that was ever granted. It is kept: a test is short.
#[derive(Default)]
pub(super) struct Grants {
    held: Vec<Grant>,
    codes: HashMap<String, Code>,
    refresh_tokens: HashMap<String, Refresh>,
}

/// A code, which counts once (RFC 6749 s4.1.2).
#[derive(Clone)]
pub(super) struct Code {
    pub(super) grant: usize,
    pub(super) redirect_uri: String,
    pub(super) challenge: Option<String>,
    pub(super) ends_at: i64,
    used: Use,
}

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Use {
    Never,
    Once,
}

/// What a user has allowed to a client.
#[derive(Clone)]
pub(super) struct Grant {
    pub(super) client: String,
    pub(super) login: String,
    pub(super) sid: String,
    pub(super) auth_time: i64,
    pub(super) scope: String,
    pub(super) resources: Vec<String>,
    pub(super) claims: Claims,
    pub(super) nonce: Option<String>,
    acr: Option<String>,
    access_tokens: Vec<String>,
    is_revoked: bool,
}

#[derive(Clone, Copy, Debug)]
struct Refresh {
    grant: usize,
    is_current: bool,
}

/// Who signed in, when and in which session.
#[derive(Clone, Debug)]
pub(super) struct Who {
    pub(super) login: String,
    pub(super) sid: String,
    pub(super) auth_time: i64,
}

impl Grant {
    /// The class of the sign-in: what was asked for, or that it proves nothing (OpenID Connect Core 1.0 s2).
    pub(super) fn acr(&self) -> &str {
        self.acr.as_deref().unwrap_or("0")
    }
}

impl Grants {
    /// A code for what was asked.
    pub(super) fn grant(&mut self, code: String, asked: &Asked, who: Who, ends_at: i64) {
        let grant = self.held.len();
        self.held.push(Grant {
            client: asked.client.id.clone(),
            login: who.login,
            sid: who.sid,
            auth_time: who.auth_time,
            scope: asked.scopes().join(" "),
            resources: asked.resources.clone(),
            claims: asked.claims.clone(),
            nonce: asked.nonce.clone(),
            acr: asked.acr.clone(),
            access_tokens: Vec::new(),
            is_revoked: false,
        });
        let (redirect_uri, challenge) = (asked.redirect_uri.clone(), asked.challenge.clone());
        self.codes.insert(code, Code { grant, redirect_uri, challenge, ends_at, used: Use::Never });
    }

    /// Takes a code for its client. One that comes again ends everything that came of it (RFC 6749 s4.1.2), whose access tokens
    /// are told as the error.
    pub(super) fn take_code(&mut self, code: &str, client: &str) -> Result<(Code, Grant), Vec<String>> {
        let Some(found) = self.codes.get_mut(code) else { return Err(Vec::new()) };
        let Some(grant) = self.held.get(found.grant).filter(|grant| grant.client == client && !grant.is_revoked) else {
            return Err(Vec::new());
        };
        if found.used == Use::Once {
            let number = found.grant;
            return Err(self.revoke(number));
        }
        found.used = Use::Once;
        Ok((found.clone(), grant.clone()))
    }

    /// The grant of a refresh token of this client, with its number. One that was replaced ends its whole family (RFC 9700
    /// s4.14.2), whose access tokens are told as the error.
    pub(super) fn refresh_token(&mut self, token: &str, client: &str) -> Result<(usize, Grant), Vec<String>> {
        let Some(&Refresh { grant: number, is_current }) = self.refresh_tokens.get(token) else {
            return Err(Vec::new());
        };
        let grant = self.held.get(number).filter(|grant| grant.client == client && !grant.is_revoked);
        match grant {
            Some(grant) if is_current => Ok((number, grant.clone())),
            Some(_) => Err(self.revoke(number)),
            None => Err(Vec::new()),
        }
    }

    /// The refresh tokens of a grant have had their use.
    pub(super) fn retire(&mut self, number: usize) {
        for refresh in self.refresh_tokens.values_mut().filter(|refresh| refresh.grant == number) {
            refresh.is_current = false;
        }
    }

    /// The refresh token of a grant from here on.
    pub(super) fn refresh_by(&mut self, number: usize, token: String) {
        self.refresh_tokens.insert(token, Refresh { grant: number, is_current: true });
    }

    /// An access token of a grant. Whether it counts: the grant may have ended while it was made.
    pub(super) fn note_access_token(&mut self, number: usize, token: &str) -> bool {
        let Some(grant) = self.held.get_mut(number) else { return false };
        grant.access_tokens.push(token.to_owned());
        !grant.is_revoked
    }

    /// The grant of which an access token came.
    pub(super) fn of_access_token(&self, token: &str) -> Option<&Grant> {
        self.held.iter().find(|grant| grant.access_tokens.iter().any(|known| known == token))
    }

    /// The grant of which a refresh token came, if it is this client's.
    pub(super) fn of_refresh_token(&self, token: &str, client: &str) -> Option<usize> {
        let number = self.refresh_tokens.get(token)?.grant;
        self.held.get(number).filter(|grant| grant.client == client).map(|_| number)
    }

    /// Ends a grant: its refresh tokens count no longer. Tells its access tokens.
    pub(super) fn revoke(&mut self, number: usize) -> Vec<String> {
        let Some(grant) = self.held.get_mut(number) else { return Vec::new() };
        grant.is_revoked = true;
        grant.access_tokens.clone()
    }

    /// Ends the refresh tokens of a session, but for those that are for the time after it (OpenID Connect Back-Channel Logout
    /// 1.0 s2.7).
    pub(super) fn end_session(&mut self, sid: &str) {
        let is_offline = |grant: &Grant| grant.scope.split(' ').any(|scope| scope == "offline_access");
        for grant in self.held.iter_mut().filter(|grant| grant.sid == sid && !is_offline(grant)) {
            grant.is_revoked = true;
        }
    }
}
