"""Pictures in, the texts of their QR codes out. What a text means is not known here."""
