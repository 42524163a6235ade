//! Why a run was not planned or not issued, and what that means for what happens next.

use proto::broker::BrokerError;
use proto::fault::Fault;
use proto::id::{AccountName, RunId};
use proto::ledger::LedgerError;
use proto::source::SourceError;

use crate::due::PlanError;
use crate::span::SpanError;

/// Why a run was not planned or not issued.
#[derive(Debug, thiserror::Error)]
pub enum PlannerError {
    /// What was asked for cannot be meant.
    #[error(transparent)]
    Span(#[from] SpanError),
    /// What was asked for cannot be read from an account.
    #[error("nothing can be planned for account `{account}`")]
    Plan {
        /// The account.
        account: AccountName,
        /// Why.
        #[source]
        source: PlanError,
    },
    /// The ledger did not answer.
    #[error("run `{run}`: cannot {doing}")]
    Ledger {
        /// The run.
        run: RunId,
        /// What it was asked.
        doing: &'static str,
        /// Why.
        #[source]
        source: LedgerError,
    },
    /// The broker did not take a message or did not answer.
    #[error("run `{run}`: cannot {doing}")]
    Broker {
        /// The run.
        run: RunId,
        /// What it was asked.
        doing: &'static str,
        /// Why.
        #[source]
        source: BrokerError,
    },
    /// We are stopping.
    #[error("planning was stopped")]
    Stopped(#[source] SourceError),
}

impl PlannerError {
    /// What it means for what we do next.
    #[must_use]
    pub fn fault(&self) -> Fault {
        match self {
            PlannerError::Span(error) => error.fault(),
            PlannerError::Plan { source, .. } => source.fault(),
            PlannerError::Ledger { source, .. } => source.fault(),
            PlannerError::Broker { source, .. } => source.fault(),
            PlannerError::Stopped(_) => Fault::Stopped,
        }
    }

    /// The ledger failed at `doing`.
    pub(crate) fn ledger(run: &RunId, doing: &'static str, source: LedgerError) -> PlannerError {
        PlannerError::Ledger { run: run.clone(), doing, source }
    }

    /// The broker failed at `doing`.
    pub(crate) fn broker(run: &RunId, doing: &'static str, source: BrokerError) -> PlannerError {
        PlannerError::Broker { run: run.clone(), doing, source }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use chrono::{DateTime, Utc};
    use proto::source::Trouble;
    use proto::unit::Window;

    #[test]
    fn each_error_has_its_fault_and_leaves_the_cause_to_its_source() {
        let run = RunId::parse("r1").unwrap();
        let account = AccountName::parse("main").unwrap();
        let transient = Fault::Transient { after: None };
        let window = Window { from: DateTime::<Utc>::UNIX_EPOCH, to: DateTime::<Utc>::UNIX_EPOCH };
        let unavailable =
            LedgerError { place: "db".into(), reason: "gone".into(), fault: Fault::Transient { after: None } };
        let refused = LedgerError { place: "db".into(), reason: "login failed".into(), fault: Fault::Fatal };
        let stopped = SourceError {
            trouble: Trouble::Stopped,
            account: "main".into(),
            endpoint: "GET /pbxes".into(),
            message: "stopped".into(),
            hint: None,
            requests: 0,
        };
        let out_of_reach = PlanError::OutOfReach { dataset: "cdr_records", asked: window, held: window };
        for (error, fault, words) in [
            (PlannerError::from(SpanError::LastIsZero), Fault::Poison, SpanError::LastIsZero.to_string()),
            (
                PlannerError::Plan { account, source: out_of_reach },
                Fault::Poison,
                "nothing can be planned for account `main`".into(),
            ),
            (PlannerError::ledger(&run, "note it", unavailable), transient.clone(), "run `r1`: cannot note it".into()),
            (PlannerError::ledger(&run, "note it", refused), Fault::Fatal, "run `r1`: cannot note it".into()),
            (
                PlannerError::broker(&run, "publish it", BrokerError::Full { queue: "q".into(), waited: 1 }),
                transient,
                "run `r1`: cannot publish it".into(),
            ),
            (
                PlannerError::broker(&run, "publish it", BrokerError::Closed),
                Fault::Stopped,
                "run `r1`: cannot publish it".into(),
            ),
            (PlannerError::Stopped(stopped), Fault::Stopped, "planning was stopped".into()),
        ] {
            assert_eq!(error.fault(), fault, "{error}");
            assert_eq!(error.to_string(), words);
        }
    }
}
