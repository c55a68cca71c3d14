//! `callboard schedule list`.

use callboard_proto::control::v1::ListSchedulesRequest;
use clap::Args;

use super::shown::Schedule;
use crate::{args::Global, failure::Failure};

/// The largest page that the server gives.
const PAGE_SIZE_MAX: u32 = 1_000;

/// Which schedules to list.
#[derive(Args)]
pub(crate) struct ListArgs {
    /// Only names that begin with this
    #[arg(long, default_value = "", hide_default_value = true, value_name = "TEXT")]
    prefix: String,

    /// How many schedules to list at most; 0 for all
    #[arg(long, default_value_t = 100, value_name = "N")]
    limit: usize,
}

// === impl ListArgs ===

impl ListArgs {
    /// Lists schedules, page by page, until the limit.
    pub(super) async fn run(self, global: &Global) -> Result<(), Failure> {
        let connection = global.connect().await?;
        let limit = if self.limit == 0 { usize::MAX } else { self.limit };
        let (mut schedules, mut page_token) = (Vec::new(), String::new());
        loop {
            let room = limit - schedules.len();
            let request = ListSchedulesRequest {
                system: global.system.clone(),
                name_prefix: self.prefix.clone(),
                page_size: u32::try_from(room).unwrap_or(PAGE_SIZE_MAX).min(PAGE_SIZE_MAX),
                page_token,
            };
            let page = connection.answer(connection.schedules().list_schedules(request)).await?;
            schedules.extend(page.schedules.into_iter().map(Schedule::from));
            page_token = page.next_page_token;
            if page_token.is_empty() || schedules.len() >= limit {
                break;
            }
        }
        let truncated = !page_token.is_empty();
        if truncated {
            global.talk().note(&format!(
                "only the first {limit} are shown: narrow with --prefix or raise --limit"
            ));
        }
        if schedules.is_empty() {
            global.talk().note("the system has no such schedule");
        }
        Ok(global.printer().list(&schedules, truncated)?)
    }
}
