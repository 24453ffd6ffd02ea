"""Switches that libraries read when they are imported. Importing this module sets them; what the user has set stays.

Must come before torch and Hugging Face; the packages' ``__init__`` files see to that. No telemetry and no download
counts. It does not block the network: what is loaded comes from local folders, and only a hub id that the user names
is fetched.
"""

import os
import warnings

for _switch, _value in {
    "HF_HUB_DISABLE_TELEMETRY": "1",
    "HF_UPDATE_DOWNLOAD_COUNTS": "0",
    # A tokenizer that was used before a data loader forks would print a warning that helps nobody here.
    "TOKENIZERS_PARALLELISM": "false",
    # By default a thread that has nothing to do spins. As soon as anything else runs on the machine, the others wait
    # for it: measured on two busy cores, a step of sampling takes ten times as long.
    "OMP_WAIT_POLICY": "passive",
}.items():
    os.environ.setdefault(_switch, _value)

# Hugging Face libraries ask for notebook widgets; without ipywidgets they show plain progress, which is as good.
warnings.filterwarnings("ignore", message="IProgress not found")
