-- Run by the image of PostgreSQL when its volume is new. The database `mlflow` is made by the image itself.
CREATE DATABASE studies;
