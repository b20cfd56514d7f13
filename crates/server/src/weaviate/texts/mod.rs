//! Weaviate's words for the errors of the application and the engine.

mod access;
mod object;
mod property;
mod query;
mod schema;
mod score;

use crate::app::AppError;

pub(crate) use access::{forbidden, unauthenticated};
pub(crate) use object::{READ_ONLY, object, reference};
pub(crate) use query::{
    VECTOR_SEARCH, keyword, keyword_of_hybrid, no_query_vector, no_such_property, no_vectorizer, refused_page,
    refused_tenant, route, search_path, threshold, vector_search,
};
pub(crate) use schema::{name, no_nested};
pub(crate) use score::explanation;

/// The text of a failed call.
pub(crate) fn app(error: &AppError) -> String {
    match error {
        AppError::Query(error) => query::engine(error),
        AppError::Search(error) => query::search(error),
        AppError::Forbidden(refusal) => forbidden(refusal),
        AppError::UsageLimit { what, max } => format!("{what} count limit of {max} reached for this instance."),
        AppError::Invalid(text)
        | AppError::Limit(text)
        | AppError::Unavailable(text)
        | AppError::Deadline(text)
        | AppError::TooLarge(text)
        | AppError::Busy(text)
        | AppError::Internal(text) => text.clone(),
    }
}
