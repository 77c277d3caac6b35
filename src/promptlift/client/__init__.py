"""A client of ``promptlift serve``: the same call and the same record, from another process.

::

    with promptlift.Client("http://gpu-box:8765", api_key=key) as client:
        record = client.upsample("clip.mp4", "a robot arm hands over a cup")
"""

from promptlift.client.client import Answer, Client, Job, Upload

__all__ = ["Answer", "Client", "Job", "Upload"]
