//! Deadlines: until when a request must have its answer.
//!
//! The router gives each request one ([`within`]): from a gRPC caller's `grpc-timeout`, else from the setting. Every
//! read of the request ends by this deadline, however many reads there are.

use std::future::Future;
use std::time::Duration;

use tokio::time::Instant;

tokio::task_local! {
    static DEADLINE: Instant;
}

/// The longest time that a caller may ask for.
const TIMEOUT_MAX: Duration = Duration::from_secs(60 * 60);

/// Answers a request whose reads must have ended in `limit` from now.
pub(crate) async fn within<F: Future>(limit: Duration, request: F) -> F::Output {
    DEADLINE.scope(Instant::now() + limit.min(TIMEOUT_MAX), request).await
}

/// The deadline of the request that this task answers; `limit` from now for work that no request began.
pub(crate) fn of_request(limit: Duration) -> Instant {
    DEADLINE.try_with(|deadline| *deadline).unwrap_or_else(|_| Instant::now() + limit.min(TIMEOUT_MAX))
}

/// Reads the header `grpc-timeout`: up to eight digits and a unit. `None` for anything else.
pub(crate) fn grpc_timeout(text: &str) -> Option<Duration> {
    let (digits, unit) = text.split_at_checked(text.len().checked_sub(1)?)?;
    if digits.is_empty() || digits.len() > 8 || !digits.bytes().all(|byte| byte.is_ascii_digit()) {
        return None;
    }
    let count: u64 = digits.parse().ok()?;
    Some(match unit {
        "H" => Duration::from_secs(count * 3_600),
        "M" => Duration::from_secs(count * 60),
        "S" => Duration::from_secs(count),
        "m" => Duration::from_millis(count),
        "u" => Duration::from_micros(count),
        "n" => Duration::from_nanos(count),
        _ => return None,
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn timeouts_are_read_as_grpc_writes_them() {
        let check = |text: &str, want: Option<Duration>| assert_eq!(grpc_timeout(text), want, "{text:?}");
        check("10S", Some(Duration::from_secs(10)));
        check("2H", Some(Duration::from_secs(7_200)));
        check("99999999H", Some(Duration::from_secs(99_999_999 * 3_600)));
        check("3M", Some(Duration::from_secs(180)));
        check("250m", Some(Duration::from_millis(250)));
        check("0u", Some(Duration::ZERO));
        check("5n", Some(Duration::from_nanos(5)));
        for wrong in ["", "S", "10", "10s", "-1S", "123456789S", "1 S", "é"] {
            check(wrong, None);
        }
    }
}
