"""An app of somebody else: it draws a poster and keeps it on disk."""

from pathlib import Path

from foxapi_async import PhotaImage, Session


async def draw(prompt: str, folder: Path) -> list[Path]:
    """Generate one picture and download it."""
    async with Session() as session:
        task = await session.generate(PhotaImage(prompt))
        return await session.download(task, folder)


async def draw_all(prompts: list[str], folder: Path) -> list[Path]:
    """Generate many pictures, each under its own key, and download them."""
    paths: list[Path] = []
    async with Session(journal=folder / "posters.journal") as session:
        async for outcome in session.map((prompt, PhotaImage(prompt)) for prompt in prompts):
            assert outcome.task is not None
            paths += await session.download(outcome.task, folder, name=outcome.key)
    return paths
