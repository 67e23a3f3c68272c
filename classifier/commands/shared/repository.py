"""Whether DVC can run in the project's folder at all."""

from classifier.core.errors import UserError


def check_repository() -> None:
    """Raise UserError where DVC would refuse to run here, as in what a zip file was unpacked to.

    Outside of a DVC project there is nothing to check.
    """
    # DVC is slow to import, which --help need not wait for.
    from dvc.exceptions import DvcException, NotDvcRepoError  # noqa: PLC0415
    from dvc.repo import Repo  # noqa: PLC0415
    from dvc.scm import SCMError  # noqa: PLC0415

    try:
        Repo().close()
    except NotDvcRepoError:
        return
    except SCMError as error:
        raise UserError(
            f"DVC cannot run here, since {error}, as after a download as a zip: clone the project, "
            "or run `git init`."
        ) from None
    except DvcException as error:
        raise UserError(f"DVC cannot run here: {' '.join(str(error).split())}") from None
