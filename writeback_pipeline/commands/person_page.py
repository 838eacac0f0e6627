"""A Contact or Lead of the embedded organisation for a terminal: what `writebacks org show` prints."""

from writeback_pipeline.commands.tables import plain
from writeback_pipeline.local_org.record_view import RecordView


def page_text(page: RecordView) -> str:
    """The page for a terminal."""
    how = {"converted": "converted to", "merged": "merged into"}.get(page.state)
    facts = {
        "Company" if page.object_type == "Lead" else "Account": page.company or "",
        "Email": page.email or "",
        "Email Opt Out": "yes" if page.email_opt_out else "no",
        "State": f"{how} {page.became}" if how else page.state.replace("deleted", "in the recycle bin"),
    }
    lines = [f"{page.object_type} {page.id}  {plain(page.name)}"]
    lines += [f"  {label:<15}{plain(value)}" for label, value in facts.items()]
    lines += ["", f"Notes ({len(page.notes)})"]
    for note in page.notes:
        lines += [f"  {note.created_at}  {plain(note.title)}", *_indented(note.body)]
    lines += ["", f"Activity History ({len(page.activity_history)})"]
    for activity in page.activity_history:
        lines += [
            f"  {activity.date or '':<10}  {plain(activity.subject)}  ({activity.status})",
            *_indented(activity.description or ""),
        ]
    return "\n".join(line.rstrip() for line in lines)


def _indented(text: str) -> list[str]:
    return [f"      {plain(line)}" for line in text.splitlines()]
