//! What is done with a connection.

use futures_util::future::BoxFuture;
use sqlx::AnyConnection;

use crate::error::Error;

/// A statement or several on one connection, on behalf of a state.
pub(crate) type Job<S, T> =
    for<'a> fn(&'a S, &'a mut AnyConnection) -> BoxFuture<'a, Result<T, Error>>;
