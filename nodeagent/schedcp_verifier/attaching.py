"""Judge what the loader and the kernel say of a candidate's attachment.

Pure. What the candidate brought about refuses it; what the machine or the loader brought about is
no judgement at all: the loader's exit code tells the two apart. A program that loads its scheduler
by itself is a part of the candidate: its end is the candidate's doing, and the kernel's log says
for which reason a scheduler ended. Only where it was killed, or not there, nothing is judged.
"""

from __future__ import annotations

from schedcp_api.verdicts import Check, Stage

from .checks import bounded, error, failed, passed, warning
from .kernellog import BY_KERNEL, BY_USER_SPACE, endings
from .records import GuestReport, LoaderData, ProgramData, StateData
from .verifierlog import refusal_of

__all__ = ["attachment", "ended", "gone_with_its_loader", "same_enablement", "states_of"]

_LOAD_FAILED, _ATTACH_FAILED = 17, 18
_REFUSED = {
    11: "the object cannot be opened",
    12: "a program is not a scheduler's",
    13: "a map is not a scheduler's",
    14: "its table is not a scheduler's",
    15: "a knob does not fit",
    _ATTACH_FAILED: "the kernel did not enable it",
}
"""Exit codes of the loader that are the candidate's doing (`schedcp-loader --help`)."""
_EJECTED = (20, 21)
_BY_ITSELF = 65
_COMPLEXITY_MAX = 1_000_000
_COMPLEXITY_NEAR = _COMPLEXITY_MAX // 2
"""Compilers and kernels differ by less than that from one release to the next."""
_RESTART = 1 << 48
"""In an exit code: SCX_ECODE_ACT_RESTART."""
_OUT_OF_MEMORY = "Cannot allocate memory"
_NOT_ITS_DOING = {
    126: "could not be executed",
    127: "was not found",
    137: "was killed, as a machine without memory does",
}
"""Exit codes of a program that say nothing about it; nobody sends SIGKILL before the end."""


def attachment(report: GuestReport, ops_name: str) -> tuple[Check, ...]:
    """Return whether the kernel accepted the programs, and whether the scheduler held for 1.5 s.

    No name: the candidate is a program. Then any name counts, and what the kernel verified in the
    course of it is not told.
    """
    if not ops_name:
        return (_started(report),)
    messages = report.texts.get(("loader", "proof"), "")
    code = report.statuses.get(("schedcp-loader", "proof"))
    loaded = report.loader_event("proof", "loaded")
    if loaded is None or not loaded.programs:
        return (_not_loaded(report, code, messages),)
    verified = passed(
        "kernel-verifier",
        Stage.BUILD,
        "the kernel accepts the programs",
        verifiedInstructions=[
            f"{program.name} {program.verified_instructions}" for program in loaded.programs[:32]
        ],
    )
    return verified, _budget(loaded.programs), _attached(report, ops_name, code)


def _budget(programs: tuple[ProgramData, ...]) -> Check:
    """Return whether the kernel could have refused a program for its size, had it been larger."""
    near = [p for p in programs if p.verified_instructions >= _COMPLEXITY_NEAR]
    if not near:
        words = f"no program is near the kernel's limit of {_COMPLEXITY_MAX} verified instructions"
        return passed("complexity", Stage.ATTACH, words)
    named = ", ".join(f"{p.name} ({p.verified_instructions})" for p in near[:8])
    return warning(
        "complexity",
        Stage.ATTACH,
        f"near the kernel's limit of {_COMPLEXITY_MAX} verified instructions, where the next "
        f"kernel may refuse what this one takes: {named}; make them smaller",
        failures=["L02"],
    )


def _not_loaded(report: GuestReport, code: int | None, messages: str) -> Check:
    refusal = report.loader_event("proof", "error")
    said = refusal.message if refusal else "it said nothing"
    evidence = {"loaderExitCode": code, "log": messages}
    if refusal is not None and code == _LOAD_FAILED and _OUT_OF_MEMORY not in said:
        words = f"the kernel refuses the programs: {refusal_of(messages)}"
        return failed("kernel-verifier", Stage.BUILD, words, **evidence)
    if refusal is not None and code in _REFUSED:
        words = f"the scheduler was not attached, {_REFUSED[code]}: {said}"
        return failed("attach", Stage.ATTACH, words, **evidence)
    if ("attach", "proof") in report.statuses:
        return failed(
            "attach-time",
            Stage.ATTACH,
            "the kernel was not done with the programs after 60 s of its time: make them smaller",
            **evidence,
        )
    return error(
        "kernel-verifier",
        Stage.BUILD,
        f"the loader ended with {code} before the kernel had judged the programs: {said}",
        **evidence,
    )


def _attached(report: GuestReport, ops_name: str, code: int | None) -> Check:
    begin, settled = report.states.get("attached"), report.states.get("settled")
    if (
        begin is not None
        and begin.enabled
        and begin.ops == ops_name
        and same_enablement(begin, settled)
    ):
        return passed(
            "attach", Stage.ATTACH, f"{ops_name} was attached and held", states=states_of(report)
        )
    refusal = report.loader_event("proof", "error")
    if refusal is not None and code == _ATTACH_FAILED:
        return failed(
            "attach",
            Stage.ATTACH,
            f"the scheduler was not attached: {refusal.message}",
            log=report.texts.get(("loader", "proof"), ""),
            kernelLog=report.texts.get(("kmsg", "proof"), ""),
        )
    if ("attach", "proof") in report.statuses:
        return failed(
            "attach-time",
            Stage.ATTACH,
            "the kernel had not enabled the scheduler after 60 s of its time",
            states=states_of(report),
        )
    return ended(report, "attach", Stage.ATTACH, "the scheduler did not stay attached for 1.5 s")


def _started(report: GuestReport) -> Check:
    """Return whether a program has put a scheduler in charge that held."""
    begin, settled = report.states.get("attached"), report.states.get("settled")
    if begin is not None and begin.enabled and begin.ops and same_enablement(begin, settled):
        words = f"{begin.ops} was attached by its program and held"
        return passed("attach", Stage.ATTACH, words, states=states_of(report))
    if begin is not None:
        words = "the scheduler did not stay attached for 1.5 s"
        return ended(report, "attach", Stage.ATTACH, words)
    said, code = _said(report, "proof"), report.statuses.get(("departed", "proof"))
    evidence = {"exitCode": code, "log": said, "kernelLog": report.texts.get(("kmsg", "proof"), "")}
    if ("attach", "proof") in report.statuses:
        words = "the program had put no scheduler in charge after 180 s of the guest's time"
        return failed("attach-time", Stage.ATTACH, words, **evidence)
    if code is None or code in _NOT_ITS_DOING or _OUT_OF_MEMORY in said:
        words = f"the program did not come to attach its scheduler: {_end(code)}"
        return error("attach", Stage.ATTACH, words, **evidence)
    last = next(reversed(said.strip().splitlines()), "it said nothing")
    words = f"the program ended with {code} before its scheduler was attached: {last}"
    return failed("attach", Stage.ATTACH, words, **evidence)


def _said(report: GuestReport, step: str) -> str:
    """Return the end of what a program wrote, its complaints last."""
    names = ("program-output", "program")
    return "\n".join(text for name in names if (text := report.texts.get((name, step), "")))


def _end(code: int | None) -> str:
    if code is None:
        return "it did not end"
    return f"it {_NOT_ITS_DOING.get(code, 'ended by itself')} (exit code {code})"


def _program_ended(
    report: GuestReport, id_: str, stage: Stage, words: str, *, step: str, **evidence: object
) -> Check:
    # It may have attached its scheduler again without having been started again.
    step = step if ("program", step) in report.statuses else "proof"
    code = report.statuses.get(("departed", step))
    reasons = endings(report, "proof")
    errors = [reason for reason in reasons if reason not in (BY_USER_SPACE, BY_KERNEL)]
    shown = {
        "states": states_of(report),
        "exitCode": code,
        "log": _said(report, step),
        "kernelLog": report.texts.get(("kmsg", "proof"), ""),
        **evidence,
    }
    if errors:
        return failed(id_, stage, f"{words}: {errors[-1]}", **shown)
    if code in _NOT_ITS_DOING or (code is None and not reasons):
        return error(id_, stage, f"{words}: its program {_end(code)}", **shown)
    if code is None:
        return failed(id_, stage, f"{words}: {reasons[-1]}, and its program went on", **shown)
    why = f"its program ended by itself with exit code {code}, and the default scheduler was back"
    return failed(id_, stage, f"{words}: {why}; stay as long as nobody ends it", **shown)


def ended(
    report: GuestReport,
    id_: str,
    stage: Stage,
    words: str,
    *,
    step: str = "proof",
    **evidence: object,
) -> Check:
    """Return the judgement of a scheduler that is gone before its time.

    The kernel ends a scheduler for a reason; a loader that was killed or broke ends it for none.
    """
    if report.of_program:
        return _program_ended(report, id_, stage, words, step=step, **evidence)
    code = report.statuses.get(("schedcp-loader", step))
    exit_ = report.loader_event(step, "exit")
    shown = {"states": states_of(report), "loaderExitCode": code, **evidence}
    if exit_ is None and code not in _EJECTED:
        return error(
            id_,
            stage,
            f"{words}, and the loader ended with {code} without an account of it",
            log=report.texts.get(("loader", step), ""),
            **shown,
        )
    return failed(id_, stage, f"{words}: {_why(exit_)}", **shown, **_exit_evidence(exit_))


def _exit_evidence(exit_: LoaderData | None) -> dict[str, object]:
    if exit_ is None:
        return {}
    return {
        "exitKind": exit_.kind if exit_.kind >= 0 else None,
        "exitCode": str(exit_.code),
        "reason": exit_.reason,
        "exitMessage": exit_.message,
        "log": exit_.log,
        "dump": bounded(exit_.dump, 2000),
    }


def _why(exit_: LoaderData | None) -> str:
    if exit_ is None:
        return "the kernel ended it and gave no reason"
    if not exit_.reason and not exit_.message:
        # The scheduler recorded no exit of its own; the kernel's log has the reason last.
        lines = exit_.log.splitlines()
        return lines[-1] if lines else "the kernel gave no reason"
    return f"{exit_.reason or 'exit'} (kind {exit_.kind}): {exit_.message}{_meaning(exit_)}"


def _meaning(exit_: LoaderData) -> str:
    """Return what an end that is no error means for who runs the scheduler."""
    if exit_.kind != _BY_ITSELF:
        return ""
    if isinstance(exit_.code, int) and exit_.code & _RESTART:
        return " (it asked to be attached again, and would do so for ever: stay attached)"
    return (
        " (it left by itself, and the default scheduler would do its work: stay attached, or end "
        "with scx_bpf_error())"
    )


def gone_with_its_loader(report: GuestReport) -> Check:
    """Return whether the default scheduler was back after whoever loaded it had been killed."""
    holder = "program" if report.of_program else "loader"
    after = report.states.get("killed")
    if after is None:
        return error(
            "loader-killed", Stage.DYNAMIC, f"nobody tried what comes of a killed {holder}"
        )
    if after.state != "disabled":
        return failed(
            "loader-killed",
            Stage.DYNAMIC,
            f"the scheduler outlived its {holder} by more than 60 s: nothing else may hold it",
            states=states_of(report),
        )
    return passed("loader-killed", Stage.DYNAMIC, f"the scheduler went with its {holder}")


def states_of(report: GuestReport) -> list[str]:
    """Return who was in charge at each step, for the evidence."""
    return [
        f"{step}: {s.state} {s.ops} enable_seq {s.enable_seq} at {s.uptime} s"
        for step, s in report.states.items()
    ]


def same_enablement(begin: StateData, now: StateData | None) -> bool:
    """Whether a scheduler is still there, and never was away."""
    return (
        now is not None
        and now.enabled
        and now.ops == begin.ops
        and now.enable_seq == begin.enable_seq
    )
