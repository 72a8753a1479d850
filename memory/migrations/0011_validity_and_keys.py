"""Validity, source and importance of items; keys of users; kept versions. Firestore writes nothing into documents."""

import django.core.validators
import django.utils.timezone
import memory.fields
from django.db import migrations, models


class Migration(migrations.Migration):

    dependencies = [
        ('memory', '0010_erasures'),
    ]

    operations = [
        migrations.AddField(
            model_name='memoryitem',
            name='derived_from',
            field=memory.fields.SparseIdsField(blank=True, default=list, help_text='Ids of items that this one was made of.', verbose_name='derived from'),
        ),
        migrations.AddField(
            model_name='memoryitem',
            name='importance',
            field=memory.fields.SparseNumberField(blank=True, help_text='0 to 1, for searches that weigh it.', null=True, validators=[django.core.validators.MinValueValidator(0.0), django.core.validators.MaxValueValidator(1.0)], verbose_name='importance'),
        ),
        migrations.AddField(
            model_name='memoryitem',
            name='source',
            field=memory.fields.SparseNameField(blank=True, help_text='Where it comes from: a document, a tool, a person.', max_length=255, null=True, verbose_name='source'),
        ),
        migrations.AddField(
            model_name='memoryitem',
            name='superseded_by',
            field=memory.fields.SparseNameField(blank=True, editable=False, max_length=1500, null=True, verbose_name='superseded by'),
        ),
        migrations.AddField(
            model_name='memoryitem',
            name='supersedes',
            field=memory.fields.SparseIdsField(blank=True, default=list, help_text='Ids of items that this one corrects or replaces.', verbose_name='supersedes'),
        ),
        migrations.AddField(
            model_name='memoryitem',
            name='touched',
            field=memory.fields.SparseTimeField(blank=True, editable=False, null=True, verbose_name='last used'),
        ),
        migrations.AddField(
            model_name='memoryitem',
            name='valid_from',
            field=memory.fields.SparseTimeField(blank=True, help_text='Empty: since ever.', null=True, verbose_name='valid from'),
        ),
        migrations.AddField(
            model_name='memoryitem',
            name='valid_to',
            field=memory.fields.SparseTimeField(blank=True, help_text='Not valid from this time on. Empty: still valid.', null=True, verbose_name='valid to'),
        ),
        migrations.AlterField(
            model_name='agentdata',
            name='content',
            field=memory.fields.ProtectedJSONField(blank=True, null=True, verbose_name='content'),
        ),
        migrations.AlterField(
            model_name='agentdata',
            name='metadata',
            field=memory.fields.ProtectedMapField(blank=True, default=dict, verbose_name='metadata'),
        ),
        migrations.AlterField(
            model_name='memoryitem',
            name='metadata',
            field=memory.fields.ProtectedMapField(blank=True, default=dict, verbose_name='metadata'),
        ),
        migrations.AlterField(
            model_name='memoryitem',
            name='text_content',
            field=memory.fields.ProtectedTextField(blank=True, null=True, verbose_name='text'),
        ),
        migrations.CreateModel(
            name='DataKey',
            fields=[
                ('id', memory.fields.DocumentIdField(default=memory.fields.new_id, editable=False, max_length=1500, primary_key=True, serialize=False)),
                ('user_id', memory.fields.NameField(max_length=255, verbose_name='user')),
                ('wrapped', models.TextField(verbose_name='wrapped key')),
                ('created', models.DateTimeField(default=django.utils.timezone.now, verbose_name='created')),
            ],
            options={
                'verbose_name': 'data key',
                'verbose_name_plural': 'data keys',
                'db_table': 'memory_data_keys',
            },
        ),
        migrations.CreateModel(
            name='MemoryVersion',
            fields=[
                ('id', memory.fields.DocumentIdField(default=memory.fields.new_id, editable=False, max_length=1500, primary_key=True, serialize=False)),
                ('item_id', models.CharField(max_length=1500, verbose_name='item')),
                ('user_id', memory.fields.NameField(max_length=255, verbose_name='user')),
                ('replaced_at', models.DateTimeField(default=django.utils.timezone.now, verbose_name='replaced')),
                ('values', memory.fields.AnyJSONField(default=dict, verbose_name='values')),
            ],
            options={
                'verbose_name': 'version of a memory item',
                'verbose_name_plural': 'versions of memory items',
                'db_table': 'memory_versions',
                'ordering': ('-replaced_at', '-id'),
                'indexes': [models.Index(fields=['item_id', '-replaced_at', '-id'], name='memory_versions_item_time'), models.Index(fields=['user_id'], name='memory_versions_user')],
            },
        ),
    ]
