"""Video in and hint clips out, through PyAV and Pillow."""
