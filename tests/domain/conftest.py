"""How hard hypothesis tries in the proof of the domain: THREADFOLD_HYPOTHESIS_PROFILE=soak."""

import os

from hypothesis import settings

PROFILE = os.environ.get("THREADFOLD_HYPOTHESIS_PROFILE")
if PROFILE:
    settings.load_profile(PROFILE)
