"""Results arrive on disk whole, under their own names, whatever the server does."""

from __future__ import annotations

from pathlib import Path


def left(folder: Path) -> list[str]:
    return sorted(each.name for each in folder.iterdir()) if folder.exists() else []


async def test_the_files_of_a_task_are_saved_in_order(shop, tmp_path):
    task = await shop.task(3)
    paths = await shop.downloads().save(task, tmp_path / "new" / "folder")
    assert [path.name for path in paths] == [f"{task.id}-{index}.png" for index in range(3)]
    assert [path.read_bytes() for path in paths] == [await shop.content(task, n) for n in range(3)]
    assert left(tmp_path / "new" / "folder") == sorted(path.name for path in paths)
