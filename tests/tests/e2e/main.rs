//! The end-to-end tests: a whole RAC as `run.sh` starts it, pushed to with a real Docker, asked over
//! real sockets.
//!
//! They share one stack, two at a time, each with apps of its own; those that kill, count or stop
//! things come after them, one at a time, most with a stack of their own. Everything ends with the
//! run, also where a test fails or the run is interrupted.

#![allow(clippy::print_stdout, reason = "a test says what it found")]

mod faults;
mod leaks;
mod misbehaving;
mod ownership;
mod push;
mod runner;
mod secrets;
mod seeing;
mod stack;
mod streams;
mod volumes;
mod wake;
mod world;

use std::process::ExitCode;

use runner::tests;

fn main() -> ExitCode {
    let together = tests![
        push::a_push_becomes_a_url,
        push::a_second_push_takes_over_without_a_gap,
        push::a_tag_is_a_preview_with_a_url_of_its_own,
        push::a_reserved_name_is_denied_and_the_reason_is_told,
        push::a_malformed_name_is_denied_and_the_reason_is_told,
        push::a_large_layer_streams_through_the_edge,
        wake::an_unknown_app_is_a_page_that_says_how_to_push_it,
        wake::a_woken_response_says_where_its_time_went,
        wake::a_thousand_requests_start_one_container,
        wake::a_busy_app_gets_another_instance,
        wake::an_idle_app_freezes_and_then_stops,
        wake::a_request_and_its_body_reach_the_app_as_they_are,
        streams::a_websocket_keeps_its_app_awake,
        streams::server_sent_events_keep_their_app_awake,
        misbehaving::an_app_on_other_ports_is_told_so,
        misbehaving::an_app_that_ends_at_once_is_told_so,
        misbehaving::an_app_on_loopback_only_is_told_so,
        misbehaving::an_app_that_crashes_is_told_so,
        misbehaving::an_app_that_never_listens_is_told_so,
        misbehaving::an_app_that_ignores_its_stop_signal_is_told_so,
        volumes::a_volume_outlives_its_instances,
        ownership::a_claimed_app_is_pushed_to_by_its_owner_only,
        ownership::a_collaborator_pushes_until_it_is_unshared,
        ownership::a_rollback_serves_the_old_code_within_two_seconds,
        ownership::a_preview_goes_when_it_is_removed,
        ownership::a_deleted_app_is_gone_and_its_name_is_kept,
        ownership::a_stopped_app_sleeps_until_it_is_started,
        ownership::a_private_url_asks_for_a_login,
        ownership::an_unclaimed_app_ends_and_says_when,
        seeing::a_line_is_in_the_log_and_outlives_its_instance,
        seeing::following_a_log_shows_new_lines_and_ends_at_ctrl_c,
        seeing::the_status_of_a_crashed_app_has_its_exit_code_and_last_words,
        seeing::why_tells_who_waited_for_what,
        seeing::a_restart_is_another_instance,
        stack::an_unknown_app_is_a_problem_with_a_code,
        stack::the_internal_listener_is_not_reached_through_the_edge,
        stack::whoever_is_not_root_is_told_in_one_sentence,
        stack::a_taken_port_is_told_in_one_sentence,
        stack::a_missing_package_without_apt_is_told_in_one_sentence,
    ];
    let alone = tests![
        secrets::a_secret_is_in_the_app_and_nowhere_else,
        leaks::two_hundred_starts_and_stops_leave_nothing,
        stack::two_stacks_stand_side_by_side,
        stack::ctrl_c_leaves_nothing,
        stack::what_a_killed_run_left_is_gone_after_the_next,
        faults::a_killed_process_is_back_and_warm_requests_go_on,
        faults::a_lost_notification_costs_a_minute_at_most,
    ];
    runner::main(together, alone)
}
