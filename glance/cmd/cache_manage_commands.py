"""The commands of ``glance-cache-manage``: what they are called, ask and say."""

from __future__ import annotations

from dataclasses import dataclass

PROGRAM = "glance-cache-manage"
SUMMARY = "Manage the image cache of a node over its image service."


@dataclass(frozen=True, slots=True)
class Command:
    """A command.

    :param summary: one line for the list of commands.
    :param explanation: for its own help.
    :param failing: what could not be done: "Failed to ...".
    :param question: asked before it is done, of one image or of none; empty where nothing is asked.
    :param questions: asked of several images.
    :param done: what was done, for ``--verbose``.
    :param images: whether it takes images.
    """

    name: str
    summary: str
    explanation: str
    failing: str
    question: str = ""
    questions: str = ""
    done: str = ""
    images: bool = False

    @property
    def usage(self) -> str:
        """How it is typed."""
        arguments = "<IMAGE_ID> [<IMAGE_ID> ...] " if self.images else ""
        return f"{PROGRAM} {self.name} {arguments}[options]"

    def ask(self, images: list[str]) -> str:
        """Return the question."""
        if len(images) > 1:
            return self.questions.format(count=len(images))
        return self.question.format(id=images[0] if images else "")


COMMANDS = {
    command.name: command
    for command in (
        Command(
            "list-cached",
            "List the images that the node has cached",
            "Lists the images in the node's cache with their sizes and hits.\n"
            "With --json, as a JSON object; times are seconds since 1970.",
            "show cached images",
        ),
        Command(
            "list-queued",
            "List the images that are queued for caching",
            "Lists the images that wait for being cached, the next one first.\n"
            "With --json, as a JSON object.",
            "show queued images",
        ),
        Command(
            "queue-image",
            "Queue images for caching",
            "Queues images for caching. With --wait, waits until they are cached.",
            "queue the specified image for caching",
            "Queue image {id} for caching?",
            "Queue {count} images for caching?",
            "Queued image {id} for caching",
            images=True,
        ),
        Command(
            "delete-cached-image",
            "Remove images from the cache",
            "Removes images from the node's cache. The images themselves stay.",
            "delete the specified cached image",
            "Delete cached image {id}?",
            "Delete {count} cached images?",
            "Deleted cached image {id}",
            images=True,
        ),
        Command(
            "delete-all-cached-images",
            "Remove all images from the cache",
            "Removes all images from the node's cache. The images themselves stay.",
            "Delete all cached images",
            "Delete all cached images?",
            done="Deleted {count} cached images",
        ),
        Command(
            "delete-queued-image",
            "Take images off the queue",
            "Takes images off the queue of those to be cached.",
            "delete the specified queued image",
            "Delete queued image {id}?",
            "Delete {count} queued images?",
            "Deleted queued image {id}",
            images=True,
        ),
        Command(
            "delete-all-queued-images",
            "Take all images off the queue",
            "Empties the queue of images to be cached.",
            "Delete all queued images",
            "Delete all queued images?",
            done="Deleted {count} queued images",
        ),
    )
}


def listing() -> str:
    """Return the list of commands."""
    rows = [("help <command>", "Show the help of one of these commands")]
    rows += [(command.name, command.summary) for command in COMMANDS.values()]
    return "Commands:\n\n" + "\n".join(f"    {name:<28}{summary}" for name, summary in rows) + "\n"
