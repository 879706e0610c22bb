//! axum: [`AccessToken`] as an extractor, [`Rejection`] as a response.

use axum_core::body::Body;
use axum_core::extract::{FromRequestParts, OptionalFromRequestParts};
use axum_core::response::{IntoResponse, Response};
use http::request::Parts;

use crate::reason::Reason;
use crate::rejection::Rejection;
use crate::token::AccessToken;
use crate::tower::Mark;

/// The token that the guard of this route accepted.
///
/// Where no [`RequireTokenLayer`](crate::RequireTokenLayer) guards the route it is refused with 500: the program is wrong, not
/// the client. Where an optional guard let a request pass that presented nothing, it is refused with 401; take an
/// `Option<AccessToken>` there.
impl<S: Send + Sync> FromRequestParts<S> for AccessToken {
    type Rejection = Rejection;

    async fn from_request_parts(parts: &mut Parts, _: &S) -> Result<Self, Self::Rejection> {
        match (parts.extensions.get::<Self>(), parts.extensions.get::<Mark>()) {
            (Some(token), _) => Ok(token.clone()),
            (None, Some(Mark(guard))) => Err(guard.validator.refuse(Reason::NoCredentials, &guard.requirement)),
            (None, None) => Err(Rejection::unguarded()),
        }
    }
}

/// The token that the guard of this route accepted, or `None` where the guard is optional and the request presented nothing.
///
/// Where no [`RequireTokenLayer`](crate::RequireTokenLayer) guards the route it is refused with 500, since nobody has looked.
impl<S: Send + Sync> OptionalFromRequestParts<S> for AccessToken {
    type Rejection = Rejection;

    async fn from_request_parts(parts: &mut Parts, _: &S) -> Result<Option<Self>, Self::Rejection> {
        match (parts.extensions.get::<Self>(), parts.extensions.get::<Mark>()) {
            (Some(token), _) => Ok(Some(token.clone())),
            (None, Some(_)) => Ok(None),
            (None, None) => Err(Rejection::unguarded()),
        }
    }
}

impl IntoResponse for Rejection {
    fn into_response(self) -> Response {
        Self::into_response(self).map(Body::from)
    }
}
