"""The actions of archives and replays over the model: a request of the right shape in, a result as on the wire out.

Source: https://docs.aws.amazon.com/eventbridge/latest/APIReference/API_Operations.html
"""

from __future__ import annotations

from collections.abc import Callable, Mapping
from typing import Any, Final

from localcloud.services.events.archive import Archive, ArchiveSettings
from localcloud.services.events.errors import not_served, validation
from localcloud.services.events.operations import Call, Result, cut_list
from localcloud.services.events.replays import Replay, ReplaySettings

__all__ = ["ARCHIVE_ACTIONS", "read_archive"]

_FILTERS: Final = ("NamePrefix", "EventSourceArn", "State")


# ---------------------------------------------------------------------- archives


def read_archive(values: Mapping[str, Any]) -> ArchiveSettings:
    """What CreateArchive says. Raises EventsError for what is not served."""
    _refuse_key(values)
    return ArchiveSettings(
        name=values["ArchiveName"],
        bus_arn=values["EventSourceArn"],
        description=values.get("Description", ""),
        pattern=values.get("EventPattern", ""),
        retention_days=values.get("RetentionDays", 0),
    )


def _create_archive(call: Call) -> Result:
    return _answer_archive(call.buses.archives.create(call.region, read_archive(call.values)))


def _update_archive(call: Call) -> Result:
    _refuse_key(call.values)
    archives = call.buses.archives
    archive = archives.get(call.values["ArchiveName"], call.region)
    archives.update(
        archive,
        description=call.values.get("Description"),
        pattern=call.values.get("EventPattern"),
        retention_days=call.values.get("RetentionDays"),
    )
    return _answer_archive(archive)


def _delete_archive(call: Call) -> Result:
    archives = call.buses.archives
    archives.delete(archives.get(call.values["ArchiveName"], call.region))
    return {}


def _describe_archive(call: Call) -> Result:
    archive = call.buses.archives.get(call.values["ArchiveName"], call.region)
    settings = archive.settings
    found = {"ArchiveArn": archive.arn, **_list_archive(archive)}
    optional = {"Description": settings.description, "EventPattern": settings.pattern}
    return {**found, **{name: value for name, value in optional.items() if value}}


def _list_archives(call: Call) -> Result:
    _check_filters(call.values, "ListArchives")
    bus_arn = call.bus("EventSourceArn").arn if "EventSourceArn" in call.values else ""
    archives = [
        archive
        for archive in call.buses.archives.list(call.region, bus_arn=bus_arn)
        if archive.settings.name.startswith(call.text("NamePrefix")) and call.text("State") in {"", "ENABLED"}
    ]
    page, more = cut_list(call, archives, lambda archive: archive.settings.name)
    return {"Archives": [_list_archive(archive) for archive in page], **more}


def _answer_archive(archive: Archive) -> Result:
    return {"ArchiveArn": archive.arn, "CreationTime": archive.created_s, **_state_of_archive(archive)}


def _list_archive(archive: Archive) -> Result:
    return {
        "ArchiveName": archive.settings.name,
        "EventSourceArn": archive.settings.bus_arn,
        "RetentionDays": archive.settings.retention_days,
        "SizeBytes": archive.size_bytes,
        "EventCount": archive.count,
        "CreationTime": archive.created_s,
        **_state_of_archive(archive),
    }


def _state_of_archive(archive: Archive) -> Result:
    return {"State": "ENABLED", **({"StateReason": archive.reason} if archive.reason else {})}


def _refuse_key(values: Mapping[str, Any]) -> None:
    if values.get("KmsKeyIdentifier"):
        raise not_served("Customer managed keys of archives are")


# ---------------------------------------------------------------------- replays


def _start_replay(call: Call) -> Result:
    values = call.values
    settings = ReplaySettings(
        name=values["ReplayName"],
        archive_arn=values["EventSourceArn"],
        bus_arn=values["Destination"]["Arn"],
        start_s=values["EventStartTime"],
        end_s=values["EventEndTime"],
        rule_arns=tuple(values["Destination"].get("FilterArns", ())),
        description=call.text("Description"),
    )
    replay = call.buses.replays.start(call.region, settings)
    return {"ReplayArn": replay.arn, "ReplayStartTime": replay.started_s, **_state_of_replay(replay)}


def _cancel_replay(call: Call) -> Result:
    replay = call.buses.replays.get(call.values["ReplayName"], call.region)
    call.buses.replays.cancel(replay)
    return {"ReplayArn": replay.arn, **_state_of_replay(replay)}


def _describe_replay(call: Call) -> Result:
    replay = call.buses.replays.get(call.values["ReplayName"], call.region)
    settings = replay.settings
    destination: Result = {"Arn": settings.bus_arn}
    if settings.rule_arns:
        destination["FilterArns"] = list(settings.rule_arns)
    found: Result = {"ReplayArn": replay.arn, "Destination": destination, **_list_replay(replay)}
    if settings.description:
        found["Description"] = settings.description
    return found


def _list_replays(call: Call) -> Result:
    _check_filters(call.values, "ListReplays")
    replays = [
        replay
        for replay in call.buses.replays.list(call.region)
        if replay.settings.name.startswith(call.text("NamePrefix"))
        and call.text("EventSourceArn") in {"", replay.settings.archive_arn}
        and call.text("State") in {"", replay.state}
    ]
    page, more = cut_list(call, replays, lambda replay: replay.settings.name)
    return {"Replays": [_list_replay(replay) for replay in page], **more}


def _list_replay(replay: Replay) -> Result:
    settings = replay.settings
    found: Result = {
        "ReplayName": settings.name,
        "EventSourceArn": settings.archive_arn,
        "EventStartTime": settings.start_s,
        "EventEndTime": settings.end_s,
        "ReplayStartTime": replay.started_s,
        **_state_of_replay(replay),
    }
    if replay.last_s is not None:
        found["EventLastReplayedTime"] = replay.last_s
    if replay.ended_s is not None:
        found["ReplayEndTime"] = replay.ended_s
    return found


def _state_of_replay(replay: Replay) -> Result:
    return {"State": replay.state, **({"StateReason": replay.reason} if replay.reason else {})}


def _check_filters(values: Mapping[str, Any], action: str) -> None:
    if sum(name in values for name in _FILTERS) > 1:
        raise validation(
            f"At most one filter is allowed for {action}. Use either : State, EventSourceArn, or NamePrefix."
        )


ARCHIVE_ACTIONS: Final[Mapping[str, Callable[[Call], Result]]] = {
    "CancelReplay": _cancel_replay,
    "CreateArchive": _create_archive,
    "DeleteArchive": _delete_archive,
    "DescribeArchive": _describe_archive,
    "DescribeReplay": _describe_replay,
    "ListArchives": _list_archives,
    "ListReplays": _list_replays,
    "StartReplay": _start_replay,
    "UpdateArchive": _update_archive,
}
