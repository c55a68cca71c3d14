//! `callboard.control.v1.SchedulesService`.

mod convert;
mod json;

use callboard_proto::control::v1::{
    CreateScheduleRequest, CreateScheduleResponse, DeleteScheduleRequest, DeleteScheduleResponse,
    GetScheduleRequest, GetScheduleResponse, ListSchedulesRequest, ListSchedulesResponse,
    PauseScheduleRequest, PauseScheduleResponse, PreviewScheduleRequest, PreviewScheduleResponse,
    ResumeScheduleRequest, ResumeScheduleResponse, Schedule, ScheduleSpec, TriggerScheduleRequest,
    TriggerScheduleResponse, UpdateScheduleRequest, UpdateScheduleResponse,
    schedules_service_server::SchedulesService,
};
use callboard_transport::status::to_status;
use callboard_types::{CallError, ErrorKind, Millis};
use tonic::{Request, Response, Status};
use xxhash_rust::xxh3::xxh3_128;

use crate::{Handle, machine::DEFAULT_SYSTEM, schedules};

/// Times that a preview tells unless it is asked for another number.
const PREVIEW_DEFAULT: usize = 5;
/// Schedules of a page unless it is asked for another number.
const PAGE_DEFAULT: usize = 100;

/// Calls that are made by the clock.
#[derive(Clone, Debug)]
pub struct Schedules(Handle);

impl Schedules {
    /// Answers from this control plane.
    #[must_use]
    pub fn new(handle: Handle) -> Self {
        Self(handle)
    }

    fn all(&self) -> &schedules::Schedules {
        self.0.schedules()
    }

    fn spec(
        &self,
        system: &str,
        name: &str,
        spec: Option<ScheduleSpec>,
    ) -> Result<crate::machine::schedules::Spec, CallError> {
        let mut spec = convert::spec(spec.unwrap_or_default())?;
        if spec.key.is_empty() {
            let target = if spec.system.is_empty() { system } else { &spec.system };
            let view = self.0.view();
            let view = view.borrow();
            let target = view.type_of(target, &spec.actor_type);
            spec.key = convert::key(target.map(|target| &target.definition), &spec, name);
        }
        Ok(spec)
    }

    async fn create(
        &self,
        request: CreateScheduleRequest,
    ) -> Result<CreateScheduleResponse, CallError> {
        let system = system(&request.system)?;
        let id = request.request_id.as_str();
        let name = match request.name.as_str() {
            "" if id.is_empty() => uuid::Uuid::now_v7().to_string(),
            // The same at each attempt.
            "" => format!("request-{:032x}", xxh3_128(id.as_bytes())),
            given => given.to_owned(),
        };
        let spec = self.spec(system, &name, request.spec)?;
        let asked = spec.clone();
        let made = self.all().create(system, &name, spec, request.paused, id).await?;
        let gone = made.is_none();
        let schedule = made
            .map_or_else(|| convert::gone(system, name, asked), |made| convert::schedule(&made));
        Ok(CreateScheduleResponse { schedule: Some(schedule), gone })
    }

    async fn update(&self, request: UpdateScheduleRequest) -> Result<Schedule, CallError> {
        let (system, name) = (system(&request.system)?, &request.name);
        let spec = self.spec(system, name, request.spec)?;
        let updated = self.all().update(system, name, spec, request.if_generation).await?;
        Ok(convert::schedule(&updated))
    }

    fn list(&self, request: &ListSchedulesRequest) -> Result<ListSchedulesResponse, CallError> {
        let size = match request.page_size {
            0 => PAGE_DEFAULT,
            asked => usize::try_from(asked).unwrap_or(usize::MAX),
        };
        let system = system(&request.system)?;
        let page = self.all().list(system, &request.name_prefix, &request.page_token, size);
        Ok(ListSchedulesResponse {
            schedules: page.schedules.iter().map(|one| convert::schedule(one)).collect(),
            next_page_token: page.next.map(|name| name.to_string()).unwrap_or_default(),
        })
    }

    fn get(&self, request: &GetScheduleRequest) -> Result<Schedule, CallError> {
        let system = system(&request.system)?;
        let found = self.all().get(system, &request.name);
        let found = found.ok_or_else(|| {
            let text = format!(
                "system {system} has no schedule \"{}\"; `callboard schedule list` shows those it has",
                request.name.escape_debug()
            );
            CallError::new(ErrorKind::UnknownSchedule, text)
        })?;
        Ok(convert::schedule(&found))
    }
}

fn preview(request: PreviewScheduleRequest) -> Result<PreviewScheduleResponse, CallError> {
    let spec = convert::spec(request.spec.unwrap_or_default())?;
    let after = if request.after_ms == 0 { Millis::now() } else { Millis(request.after_ms) };
    let count = match request.count {
        0 => PREVIEW_DEFAULT,
        asked => usize::try_from(asked).unwrap_or(usize::MAX),
    };
    let times = schedules::Schedules::preview(&spec, after, count)?;
    Ok(PreviewScheduleResponse { times_ms: times.into_iter().map(|time| time.0).collect() })
}

/// The system that a request means.
fn system(name: &str) -> Result<&str, CallError> {
    if name.is_empty() {
        return Ok(DEFAULT_SYSTEM);
    }
    callboard_types::actor_id::check_name("system", name).map(|()| name)
}

#[expect(clippy::needless_pass_by_value, reason = "as map_err hands it over")]
fn status(error: CallError) -> Status {
    to_status(&error)
}

#[tonic::async_trait]
impl SchedulesService for Schedules {
    async fn create_schedule(
        &self,
        request: Request<CreateScheduleRequest>,
    ) -> Result<Response<CreateScheduleResponse>, Status> {
        self.create(request.into_inner()).await.map(Response::new).map_err(status)
    }

    async fn update_schedule(
        &self,
        request: Request<UpdateScheduleRequest>,
    ) -> Result<Response<UpdateScheduleResponse>, Status> {
        let schedule = Some(self.update(request.into_inner()).await.map_err(status)?);
        Ok(Response::new(UpdateScheduleResponse { schedule }))
    }

    async fn get_schedule(
        &self,
        request: Request<GetScheduleRequest>,
    ) -> Result<Response<GetScheduleResponse>, Status> {
        let schedule = Some(self.get(request.get_ref()).map_err(status)?);
        Ok(Response::new(GetScheduleResponse { schedule }))
    }

    async fn list_schedules(
        &self,
        request: Request<ListSchedulesRequest>,
    ) -> Result<Response<ListSchedulesResponse>, Status> {
        self.list(request.get_ref()).map(Response::new).map_err(status)
    }

    async fn pause_schedule(
        &self,
        request: Request<PauseScheduleRequest>,
    ) -> Result<Response<PauseScheduleResponse>, Status> {
        let request = request.into_inner();
        let system = system(&request.system).map_err(status)?;
        let paused = self.all().pause(system, &request.name).await.map_err(status)?;
        Ok(Response::new(PauseScheduleResponse { schedule: Some(convert::schedule(&paused)) }))
    }

    async fn resume_schedule(
        &self,
        request: Request<ResumeScheduleRequest>,
    ) -> Result<Response<ResumeScheduleResponse>, Status> {
        let request = request.into_inner();
        let system = system(&request.system).map_err(status)?;
        let resumed = self.all().resume(system, &request.name).await.map_err(status)?;
        Ok(Response::new(ResumeScheduleResponse { schedule: Some(convert::schedule(&resumed)) }))
    }

    async fn trigger_schedule(
        &self,
        request: Request<TriggerScheduleRequest>,
    ) -> Result<Response<TriggerScheduleResponse>, Status> {
        let request = request.into_inner();
        let system = system(&request.system).map_err(status)?;
        let triggered = self.all().trigger(system, &request.name, &request.request_id).await;
        let triggered = triggered.map_err(status)?;
        let schedule = Some(convert::schedule(&triggered));
        Ok(Response::new(TriggerScheduleResponse { schedule }))
    }

    async fn delete_schedule(
        &self,
        request: Request<DeleteScheduleRequest>,
    ) -> Result<Response<DeleteScheduleResponse>, Status> {
        let request = request.into_inner();
        let system = system(&request.system).map_err(status)?;
        let deleted = self.all().delete(system, &request.name, &request.request_id).await;
        deleted.map_err(status)?;
        Ok(Response::new(DeleteScheduleResponse {}))
    }

    async fn preview_schedule(
        &self,
        request: Request<PreviewScheduleRequest>,
    ) -> Result<Response<PreviewScheduleResponse>, Status> {
        preview(request.into_inner()).map(Response::new).map_err(status)
    }
}
