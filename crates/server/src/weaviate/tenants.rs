//! Words on tenants that REST and gRPC share.

use azimuth_engine::schema::TenantStatus;

use crate::app::AppError;
use crate::app::tenants::TenantsError;

/// Path of the refusals of reads.
pub(super) const READING: &str = "failed to execute query: could not get tenants: could not get tenants";

/// The refusal of a request, `path` before the reason.
pub(super) fn refusal(error: TenantsError, path: &str) -> AppError {
    AppError::Invalid(match error {
        TenantsError::NoCollection => format!("{path}: class not found"),
        TenantsError::NoTenancy(class) => format!("{path}: multi-tenancy is not enabled for class \"{class}\""),
        TenantsError::NotFound(name) => format!("{path}: shard not found: {name}"),
        TenantsError::App(error) => return error,
    })
}

/// The word for a status.
pub(super) fn word(status: TenantStatus) -> &'static str {
    match status {
        TenantStatus::Hot => "HOT",
        TenantStatus::Cold => "COLD",
        TenantStatus::Frozen => "FROZEN",
    }
}
